"""What only published dictionaries have: a threshold a latent, a scale a model, TopK; on disk and in parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made import make_dictionary, make_pairs
from planted_data import numpy_decode

from crossdiff.attribution.directions import contributed, contributions, spread, subset
from crossdiff.attribution.sums import weighted_sums
from crossdiff.dictionaries import load, save
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.errors import UserError

VARIANTS = {
    "threshold a latent": lambda d: replace(d, threshold=torch.linspace(-0.5, 2, d.shape[2])),
    "scale a model": lambda d: replace(d, scale=torch.tensor([[0.5], [2.0]])[: d.shape[0]]),
    "topk": lambda d: replace(d, k=3, threshold=torch.tensor(0.0)),
    "decoupled": lambda d: replace(d, score="decoupled", threshold=torch.tensor([0.6, 1.8])),
    "topk by score": lambda d: replace(d, k=2, score="sum"),
}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Dictionary:
    return VARIANTS[request.param](make_dictionary("crosscoder"))


def plain_encode(d: Dictionary, x: torch.Tensor) -> np.ndarray:
    """f by loops over tokens and latents, in float64."""
    t = {name: tensor.double().numpy() for name, tensor in d.tensors.items()}
    scale = np.broadcast_to(t["scale"].reshape(-1), (len(t["mean"]),))
    threshold = None if d.decoupled else np.broadcast_to(t["threshold"], t["encoder_bias"].shape)
    f = np.zeros((len(x), d.shape[2]))
    score = np.zeros_like(f)
    for b, token in enumerate(x.double().numpy()):
        for j in range(d.shape[2]):
            a = t["encoder_bias"][j]
            a += sum((token[m] - t["mean"][m]) * scale[m] @ t["encoder"][m][:, j] for m in range(len(token)))
            norms = np.array([np.linalg.norm(t["decoder"][m][j]) for m in range(len(token))])
            score[b, j] = max(a, 0) * (1 if d.score == "none" else norms.sum())
            on = (max(a, 0) * norms > t["threshold"]).any() if d.decoupled else score[b, j] > threshold[j]
            f[b, j] = max(a, 0) if on else 0
        if d.k is not None:
            f[b, np.argsort(-np.where(f[b] > 0, score[b], -1))[d.k :]] = 0
    return f


def test_codes_are_those_of_the_definition(variant: Dictionary) -> None:
    x = make_pairs(60)
    f = variant.encode(x)
    np.testing.assert_allclose(f.numpy(), plain_encode(variant, x), rtol=1e-4, atol=1e-4)
    codes = variant.codes(x)
    assert torch.equal(torch.zeros_like(f).index_put((codes.token_N, codes.latent_N), codes.value_N), f)
    torch.testing.assert_close(variant.decode_codes(codes, 60), variant.decode(f), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(variant.decode(f), numpy_decode(variant, f.double().numpy()), rtol=1e-3, atol=1e-3)
    if variant.k:
        assert int((f > 0).sum(1).max()) == variant.k


def test_contributions_are_what_chat_has_beyond_base(variant: Dictionary) -> None:
    x, latents = make_pairs(60), variant.shape[2]
    f = variant.encode(x)
    wanted = (variant.decode(f) - variant.decode(torch.zeros_like(f))).diff(dim=1)[:, 0]
    codes, rows = contributed(variant, variant.codes(x)), contributions(variant)
    found = weighted_sums(rows, codes.latent_N, codes.token_N, codes.value_N, 60)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(spread(variant, f) @ rows, wanted, rtol=1e-4, atol=1e-4)
    once = torch.zeros_like(f).index_put((codes.token_N, codes.latent_N % latents), torch.tensor(1.0)) > 0
    assert torch.equal(once, f > 0)


def test_decoupled_codes_are_on_in_some_model_only() -> None:
    variant = VARIANTS["decoupled"](make_dictionary("crosscoder"))
    f = variant.encode(make_pairs(200))
    base, chat = variant.taken(f)
    assert min(int((base & ~chat).sum()), int((base & chat).sum())) > 10
    assert torch.equal(base | chat, f > 0)
    coupled = replace(variant, score="sum", threshold=torch.tensor(0.0))
    assert float((variant.decode(f) - coupled.decode(f)).abs().max()) > 0.1


def test_directions_are_in_raw_units(variant: Dictionary) -> None:
    none, one = torch.zeros(1, 11), torch.zeros(1, 11).index_fill(1, torch.tensor([4]), 3.0)
    step = (variant.decode(one) - variant.decode(none))[0]
    torch.testing.assert_close(step, 3 * variant.directions()[:, 4], rtol=1e-4, atol=1e-5)


def test_a_part_is_active_where_the_whole_is(variant: Dictionary) -> None:
    x, chosen = make_pairs(60), torch.tensor([7, 0, 3])
    part = subset(variant, chosen)
    torch.testing.assert_close(part.encode(x), variant.encode(x)[:, chosen])
    assert torch.equal(part.score_weight(), variant.score_weight()[chosen])
    assert torch.equal(part.directions(), variant.directions()[:, chosen])


def test_round_trip_on_disk(variant: Dictionary, tmp_path) -> None:
    save(variant, tmp_path)
    after = load(tmp_path)
    assert (after.k, after.score) == (variant.k, variant.score)
    assert all(torch.equal(after.tensors[name], tensor) for name, tensor in variant.tensors.items())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"threshold": torch.zeros(4)}, r"threshold is torch.float32 \[4\], .* \[\] or \[11\]"),
        ({"scale": torch.ones(2)}, r"scale is torch.float32 \[2\], .* \[\] or \[2, 1\]"),
        ({"score": "decoupled"}, r"threshold is torch.float32 \[\], .* \[2\]"),
        ({"score": "decoupled", "k": 3, "threshold": torch.ones(2)}, "decoupled codes are of a crosscoder"),
        ({"k": 0}, "k must be a positive number, got 0"),
    ],
)
def test_wrong_shapes_are_refused(change: dict, told: str, tmp_path) -> None:
    save(replace(make_dictionary("crosscoder"), **change), tmp_path)
    with pytest.raises(UserError, match=told):
        load(tmp_path)
