"""Cosines by class, overlap with the shared interval, and counts below thresholds, against known answers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crossdiff.attribution.comparisons import QUANTILES, below, correlations, overlap, random_cosines, ranks, spread


def test_random_pairs_are_of_two_latents_and_point_nowhere():
    rows_LFD = torch.randn(2, 300, 64, generator=torch.Generator().manual_seed(0))
    cosines = random_cosines(rows_LFD, torch.arange(0, 300, 2), 0)
    assert len(cosines) == 10_000
    assert abs(float(cosines.mean())) < 0.01
    assert torch.equal(cosines, random_cosines(rows_LFD, torch.arange(0, 300, 2), 0))
    own = torch.eye(8).repeat(2, 1, 1)  # a latent's own two rows agree, all others are orthogonal
    assert float(random_cosines(own, torch.arange(8), 3).abs().max()) == 0


def test_spread_has_mean_and_quantiles_of_what_is_a_number():
    values = torch.randn(1001, generator=torch.Generator().manual_seed(1))
    found = spread("cosine", "shared", torch.cat([values, torch.tensor([math.nan])]))
    assert [value.at for value in found] == [None, *QUANTILES]
    assert found[0].value == pytest.approx(float(values.double().mean()))
    wanted = np.quantile(values.numpy(), QUANTILES)
    assert [value.value for value in found[1:]] == pytest.approx(wanted.tolist(), abs=1e-6)
    assert {value.n for value in found} == {1001}
    assert spread("cosine", "shared", torch.tensor([math.nan])) == []


def test_overlap_with_the_shared_interval():
    shared = torch.arange(-100, 101) / 100
    chat = torch.tensor([0.0, 0.97, -0.97, 1.1, 1.2, math.nan])
    found = {value.quantity: (value.value, value.n) for value in overlap("nu", "chat-only", chat, shared)}
    # Uniform on −1 … 1: 1.96 standard deviations reach beyond 1.13, the quantiles 2.5 to 97.5 % to 0.95.
    # 0.67 of them reach to 0.39, the quartiles to 0.5.
    wanted = {"normal": 4 / 5, "quantiles": 1 / 5, "normal50": 1 / 5, "quantiles50": 1 / 5}
    assert found == {f"overlap_nu_{rule}": (pytest.approx(value), 5) for rule, value in wanted.items()}
    inside = {value.quantity: value.value for value in overlap("nu", "a", torch.tensor([0.38, 0.45, 0.6]), shared)}
    assert [inside[f"overlap_nu_{rule}50"] for rule in ("normal", "quantiles")] == pytest.approx([1 / 3, 2 / 3])
    assert overlap("nu", "a", chat[-1:], shared) == overlap("nu", "a", chat, shared[:1]) == []


def test_counts_below_each_threshold_need_every_column():
    a, b = torch.tensor([0.1, -0.2, 0.5, math.nan]), torch.tensor([0.4, 0.1, 0.3, 0.0])
    found = {value.at: (value.value, value.n) for value in below("both", a, b)}
    assert len(found) == 100
    assert (found[0.2], found[0.3], found[0.41], found[0.51]) == ((0, 3), (1, 3), (2, 3), (3, 3))
    assert {value.at: value.value for value in below("one", a)}[0.15] == 1


def test_weights_are_summed_over_what_is_below():
    nu = torch.tensor([0.1, -0.2, 0.5, math.nan])
    found = {(v.quantity, v.at): v.value for v in below("b", nu, often=torch.tensor([0.5, 0.25, 0.125, 9.0]))}
    assert [found["b_often", at] for at in (0.1, 0.15, 0.3, 1.0)] == [0, 0.5, 0.75, 0.875]


@given(st.lists(st.integers(-3, 3), max_size=20))
def test_ranks_are_scipys(values: list[int]) -> None:
    assert ranks(torch.tensor(values, dtype=torch.float64)).tolist() == stats.rankdata(values).tolist()


def test_correlations_are_scipys_over_latents_with_both():
    generator = torch.Generator().manual_seed(2)
    one = torch.randint(0, 9, (50,), generator=generator).float()
    other = one + torch.randn(50, generator=generator)
    one[3], other[7] = math.nan, math.nan
    keep = ~(one.isnan() | other.isnan())
    found = {value.quantity: (value.value, value.n) for value in correlations("a", "b", "alive", one, other)}
    wanted = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}
    for name, function in wanted.items():
        assert found[f"{name}_a_b"] == (pytest.approx(function(one[keep], other[keep])[0], abs=1e-6), 48)
    assert correlations("a", "b", "alive", torch.ones(5), torch.arange(5.0)) == []
    assert correlations("a", "b", "alive", torch.arange(2.0), torch.arange(2.0)) == []
