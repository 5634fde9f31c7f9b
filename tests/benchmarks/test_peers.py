"""Each adapter takes steps of its package's own trainer, and what it trains gets better. Needs `make bench-env`."""

import pytest
import torch

from benchmarks import extraction, peers, planted
from benchmarks.hardware import installed
from benchmarks.subjects import Case
from crossdiff.activations.extract import batch_plan, padded, read_tokens

CASE = Case(models=1, width=32, latents=128, k=4, batch=256, lr=3e-3)
TRAINED = {
    "dictionary-learning": lambda peer: peer.trainer.ae.encoder.weight,
    "sae-lens": lambda peer: peer.sae.W_enc,
    "eai-sparsify": lambda peer: next(iter(peer.trainer.saes.values())).encoder.weight,
}


@pytest.mark.parametrize("name", peers.PEERS)
def test_a_peer_learns(name: str) -> None:
    package, make = peers.PEERS[name]
    if not installed(package):
        pytest.skip(f"{package} is not installed; see benchmarks/README.md")
    batches = planted.batches(2, CASE.batch, 1, CASE.width)
    x_BD = batches[0].flatten(1)
    spread = float((x_BD - x_BD.mean(0)).square().sum())
    before = torch.get_float32_matmul_precision()
    peer = make(CASE)

    def unexplained() -> float:
        return float((x_BD - peer.reconstruct(x_BD)).square().sum()) / spread

    first, weight = unexplained(), TRAINED[package](peer).detach().clone()
    peer.steps(batches)
    assert not torch.equal(TRAINED[package](peer), weight)
    for _ in range(9):
        peer.steps(batches)
    assert unexplained() < 0.8 * first
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("stop", [False, True])
def test_nnsight_reads_the_same_stream(stop: bool) -> None:
    if not installed("nnsight"):
        pytest.skip("nnsight is not installed; see benchmarks/README.md")
    models = extraction.random_pair(3, 64, 97, seed=0)
    rows = extraction.random_rows(4, 12, 97, seed=1)
    made = [padded(rows, batch) for batch in batch_plan(rows.lengths_R, range(4), 24)]
    found = extraction.traced(models, 1, [(ids_BT, mask_BT.long()) for ids_BT, mask_BT in made], stop)
    wanted = [read_tokens(model, 1, *batch) for model in models for batch in made]
    for h_nD, wanted_nD in zip(found, wanted, strict=True):
        torch.testing.assert_close(h_nD, wanted_nD, rtol=0.05, atol=0.05)
