import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdiff.dictionaries import select
from crossdiff.dictionaries.eager import largest
from crossdiff.dictionaries.select import above, batch_topk, positives


def expected(pre, weight, count):
    """Flat indices by a plain sort of (−score, index)."""
    score = (pre.float().clamp(min=0) * weight).flatten().numpy()
    order = sorted(range(len(score)), key=lambda i: (-score[i], i))[:count]
    return sorted(i for i in order if score[i] > 0)


@given(
    tokens=st.integers(1, 12),
    latents=st.integers(1, 17),
    k=st.integers(1, 6),
    levels=st.sampled_from([2, 3, 1000]),
    bf16=st.booleans(),
    weighted=st.booleans(),
    sample=st.sampled_from([4, 16, 131_072]),
    run=st.sampled_from([1, 3, 4]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=300, deadline=None)
def test_keeps_exactly_the_largest(tokens, latents, k, levels, bf16, weighted, sample, run, seed):
    """Few levels make ties; a small sample makes the estimated level matter, and fail at times."""
    g = torch.Generator().manual_seed(seed)
    pre = (torch.randint(-levels, levels + 1, (tokens, latents), generator=g) / levels).to(
        torch.bfloat16 if bf16 else torch.float32
    )
    weight = torch.randint(0, 4, (latents,), generator=g) / 2 if weighted else torch.ones(latents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "SAMPLE", sample)
        patch.setattr(select, "SHARE", 2)
        patch.setattr(select, "RUN", run)
        select.starts.cache_clear()  # which places there are depends on the length of a run
        kept = batch_topk(pre, weight, tokens * k)
    select.starts.cache_clear()
    wanted = expected(pre, weight, tokens * k)
    assert kept.flat_N.tolist() == wanted
    assert kept.value_N.tolist() == pre.float().flatten()[wanted].tolist()
    assert torch.equal(kept.score_N, kept.value_N * weight[kept.flat_N % latents])
    assert bool((kept.score_N > 0).all())
    mask = largest(pre.float().clamp(min=0) * weight, tokens * k)
    assert mask.flatten().nonzero().squeeze(1).tolist() == wanted


def sampled_level(pre, weight, count):
    size = select.sample_size(pre.numel())
    return select._sampled_level(pre, weight, size, select.sample_rank(pre.numel(), count, size))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokens", [30, 300])
def test_large_batch_takes_the_sampled_way(kind, tokens):
    g = torch.Generator().manual_seed(0)
    pre = torch.randn(tokens, 1999, generator=g).to(kind)
    weight = torch.rand(1999, generator=g) + 0.5
    assert sampled_level(pre, weight, tokens * 7) > 1
    kept = batch_topk(pre, weight, tokens * 7)
    score = (pre.float().clamp(min=0) * weight).flatten()
    assert len(kept.flat_N) == tokens * 7
    rest = score.clone()
    rest[kept.flat_N] = 0
    assert float(rest.max()) <= float(kept.score_N.min())
    assert bool((kept.flat_N.diff() > 0).all())


@pytest.mark.parametrize("seen", [True, False], ids=["sees nothing else", "sees none"])
def test_sample_blind_to_the_large_scores_is_mended(seen, monkeypatch):
    """The level is then far too high, or far too low; the choice is exact."""
    pre = torch.full((64, 8192), 0.01)
    starts = select.starts(pre.numel(), select.sample_size(pre.numel()) // select.RUN)
    looked = torch.zeros(pre.numel(), dtype=torch.bool)
    looked[(starts[:, None] + torch.arange(select.RUN)).flatten()] = True
    large = (looked == seen).nonzero().squeeze(1)[:50_000]
    pre.view(-1)[large] = 5.0
    levels = []
    estimate = select._sampled_level
    monkeypatch.setattr(select, "_sampled_level", lambda *given: levels.append(estimate(*given)) or levels[-1])
    kept = batch_topk(pre, torch.ones(8192), len(large) + 10)
    assert len(kept.flat_N) == len(large) + 10
    assert set(large.tolist()) <= set(kept.flat_N.tolist())
    assert levels[0] == (5.0 if seen else pytest.approx(0.01))
    assert (len(levels) > 1) == seen  # a level that is too high lets too few pass, and another is taken


def test_the_level_lets_few_more_pass_than_are_wanted():
    """In an even batch, and in one whose latents fire at very different rates, side by side as trained ones may lie."""
    g = torch.Generator().manual_seed(1)
    pre = torch.randn(512, 4096, generator=g)
    wanted = 512 * 32
    even, uneven = torch.ones(4096), torch.linspace(0.1, 3, 4096)
    for shift, weight in ((0 * even, even), (uneven - 2, even), (0 * even, uneven)):
        level = sampled_level(pre + shift, weight, wanted)
        assert wanted <= int(((pre + shift) * weight > level).sum()) <= 1.4 * wanted


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_above_agrees_with_plain_comparison(kind):
    value = torch.randn(37, 41).to(kind)
    level = torch.rand(41)
    wanted = np.flatnonzero((value > level.to(kind)).numpy())
    assert above(value, level).tolist() == wanted.tolist()
    assert positives(value) == int((value > 0).sum())


def test_nothing_positive_keeps_nothing():
    assert len(batch_topk(-torch.rand(4, 5), torch.ones(5), 8).flat_N) == 0
    assert len(batch_topk(torch.zeros(4, 5), torch.ones(5), 8).flat_N) == 0
