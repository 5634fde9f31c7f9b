"""p and q of null latents: exact on small cases, uniform on nulls, honest where the null is too small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kstest

from crossdiff.evidence.calls.calibration import Array, Bulk, least_calls, p_values, q_values

finite = st.floats(-10, 10, width=32)


def standardise(value: Array, frequency: Array) -> Array:
    """z of each latent against the bulk of its own dictionary."""
    return Bulk.of(value, frequency).z(value, frequency)


@given(arrays(np.float64, st.integers(1, 20), elements=finite), arrays(np.float64, st.integers(1, 30), elements=finite))
def test_p_is_the_rank_among_the_nulls(z, null):
    lower = [(1 + sum(n <= one for n in null)) / (len(null) + 1) for one in z]
    upper = [(1 + sum(n >= one for n in null)) / (len(null) + 1) for one in z]
    both = [(1 + sum(abs(n) >= abs(one) for n in null)) / (len(null) + 1) for one in z]
    for tail, expected in (("lower", lower), ("upper", upper), ("both", both)):
        np.testing.assert_allclose(p_values(z, null, tail), expected)


def test_no_p_is_smaller_than_the_null_can_show():
    assert p_values(np.array([-1e9]), np.zeros(99), "lower")[0] == pytest.approx(0.01)
    assert p_values(np.array([-np.inf]), np.zeros(99), "lower")[0] == pytest.approx(0.01)


def test_what_is_not_tested_stays_out():
    p = p_values(np.array([0.0, np.nan]), np.array([np.nan, 1.0, 2.0, 3.0]), "lower")
    assert p[0] == 0.25
    assert np.isnan(p[1])
    assert np.isnan(p_values(np.zeros(2), np.zeros(0), "lower")).all()
    q = q_values(np.array([0.01, np.nan, 0.5]))
    np.testing.assert_allclose(q, [0.02, np.nan, 0.5])
    assert np.isnan(q_values(np.full(3, np.nan))).all()


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(1e-6, 1)))
def test_q_is_benjamini_and_hochberg(p):
    order = np.argsort(p)
    expected = np.empty(len(p))
    least = 1.0
    for rank in range(len(p), 0, -1):
        least = min(least, p[order[rank - 1]] * len(p) / rank)
        expected[order[rank - 1]] = least
    np.testing.assert_allclose(q_values(p), expected)


@pytest.mark.parametrize(("nulls", "family", "level"), [(999, 4600, 0.05), (99, 50, 0.2), (9999, 100, 0.1)])
def test_least_calls_is_where_bh_begins_to_call(nulls, family, level):
    needed = least_calls(nulls, family, level)
    smallest = 1 / (nulls + 1)

    def calls(count):
        return int((q_values(np.r_[np.full(count, smallest), np.ones(family - count)]) <= level).sum())

    assert calls(needed) == needed
    assert calls(needed - 1) == 0


def test_standardising_takes_out_what_depends_on_frequency():
    rng = np.random.default_rng(0)
    frequency = np.exp(rng.uniform(-9, -2, 6000))
    value = 1 + 0.1 * np.log(frequency) + rng.normal(size=6000) / np.sqrt(1e4 * frequency)
    z = standardise(value, frequency)
    for part in np.array_split(np.argsort(frequency), 5):
        assert abs(np.median(z[part])) < 0.1
        assert 0.8 < z[part].std() < 1.25


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_z_does_not_change_with_units(scale, shift):
    rng = np.random.default_rng(1)
    value, frequency = rng.normal(size=300), rng.uniform(0.01, 1, 300)
    np.testing.assert_allclose(standardise(scale * value + shift, frequency), standardise(value, frequency), atol=1e-6)


def test_bulk_of_equal_or_missing_values():
    frequency = np.full(3, 0.1)
    z = standardise(np.array([1.0, 1.0, 1.0]), frequency)
    assert z.tolist() == [0, 0, 0]
    z = standardise(np.array([1.0, 1.0, 2.0]), frequency)
    assert z.tolist() == [0, 0, np.inf]
    assert np.isnan(Bulk.of(np.full(3, np.nan), frequency).z(np.ones(3), frequency)).all()
    assert np.isnan(standardise(np.ones(2), np.array([0.0, 0.1])))[0]


def test_p_of_held_out_nulls_is_uniform_at_every_frequency():
    """Spread and centre depend on frequency; the rank among other seeds' nulls does not."""

    def draw(seed):
        rng = np.random.default_rng(seed)
        frequency = np.exp(rng.uniform(-9, -2, 4000))
        value = 1 + 0.02 * np.log(frequency) + rng.standard_t(5, 4000) / np.sqrt(1e4 * frequency)
        return standardise(value, frequency), frequency

    null = np.concatenate([draw(seed)[0] for seed in range(1, 5)])
    z, frequency = draw(0)
    p = p_values(z, null, "lower")
    for part in np.array_split(np.argsort(frequency), 4):
        assert kstest(p[part], "uniform").pvalue > 0.01
