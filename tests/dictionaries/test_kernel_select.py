"""The choice on the device against the one by `select.batch_topk`, exactly."""

import kernel_device
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_device import DEVICE

from crossdiff.dictionaries.kernels import select
from crossdiff.dictionaries.select import batch_topk

pytestmark = kernel_device.MARKS


def same(pre, weight, count):
    chosen = select.batch_topk(pre.to(DEVICE), weight.to(DEVICE), count)
    kept = batch_topk(pre, weight, count)
    latents, there = pre.shape[1], len(kept.flat_N)
    token, latent, value, score, start = (part.cpu() for part in chosen)
    assert len(token) == len(latent) == len(value) == len(score) == count
    assert (token.long() * latents + latent)[:there].tolist() == kept.flat_N.tolist()
    assert torch.equal(value[:there], kept.value_N)
    assert torch.equal(score[:there], kept.score_N)
    tokens = torch.arange(len(pre) + 1)
    assert start.tolist() == torch.searchsorted(kept.flat_N // latents, tokens).tolist()
    assert not bool(token[there:].any())
    assert not bool(value[there:].any())
    assert bool((latent[there:] == latents).all())
    assert bool(score[there:].isinf().all())
    return there


@given(
    tokens=st.integers(1, 4),
    latents=st.integers(1, 21),
    k=st.integers(1, 6),
    levels=st.sampled_from([1, 2, 3, 1000]),
    shift=st.sampled_from([-2, 0, 0, 1]),
    bf16=st.booleans(),
    weighted=st.booleans(),
    sample=st.sampled_from([4, 16, 131_072]),
    tile=st.sampled_from([8, 2048]),
    part=st.sampled_from([4, 512]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=3 * kernel_device.EXAMPLES, deadline=None)
def test_keeps_what_batch_topk_keeps(tokens, latents, k, levels, shift, bf16, weighted, sample, tile, part, seed):
    """Few levels make ties; shifted, few are positive or none; a small sample makes its level matter, and fail."""
    g = torch.Generator().manual_seed(seed)
    pre = torch.randint(-levels, levels + 1, (tokens, latents), generator=g) / levels + shift
    pre = pre.to(torch.bfloat16 if bf16 else torch.float32)
    weight = torch.randint(0, 4, (latents,), generator=g) / 2 if weighted else torch.ones(latents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "SAMPLE", sample)
        patch.setattr(select, "TILE", tile)
        patch.setattr(select, "PART", part)
        same(pre, weight, tokens * min(k, latents))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_scores_that_differ_in_their_last_digits(kind):
    """Normal scores, so that both digits decide; scores equal in their first; magnitudes from 1e-30 to 1e30."""
    g = torch.Generator().manual_seed(0)
    pre = torch.randn(20, 97, generator=g)
    weight = torch.rand(97, generator=g) + 0.5
    assert same(pre.to(kind), weight, 20 * 7) == 140
    assert same((1 + pre * 1e-5).to(kind), weight.fill_(1.0), 20 * 7) == 140
    spread = torch.exp(torch.randn(20, 97, generator=g) * 20)
    assert same(spread.to(kind), torch.ones(97), 20 * 7) == 140


def test_sample_blind_to_the_large_scores_is_mended(monkeypatch):
    """The sample sees nothing but large scores, and takes them for all: fewer exceed its level than are wanted."""
    monkeypatch.setattr(select, "SAMPLE", 64)
    pre = torch.full((8, 125), 0.01)
    stride = pre.numel() // 64
    while torch.gcd(torch.tensor(stride), torch.tensor(125)) > 1:
        stride += 1
    looked = torch.arange(0, pre.numel(), stride)
    pre.view(-1)[looked] = 5.0
    level = select._sampled_level(pre.to(DEVICE), torch.ones(125, device=DEVICE), len(looked) + 10)
    assert float(level.view(torch.float32)) in (5.0, 2**-149)
    assert same(pre, torch.ones(125), len(looked) + 10) == len(looked) + 10
    assert same(pre, torch.ones(125), 8) == 8


def test_nothing_positive_keeps_nothing():
    assert same(-torch.rand(4, 5), torch.ones(5), 8) == 0
    assert same(torch.zeros(4, 5), torch.ones(5), 8) == 0
    assert same(torch.rand(4, 5), torch.zeros(5), 8) == 0
