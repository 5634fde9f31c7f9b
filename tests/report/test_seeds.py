"""Intervals over seeds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crossdiff.report.seeds import ends, leaf, mean, over_few, over_seeds, plain, share

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(numbers, min_size=2, max_size=8))
def test_leaf_is_the_t_interval(values: list[float]) -> None:
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=max(stats.sem(values), 1e-300))
    found = leaf(values, (-math.inf, math.inf))
    assert isinstance(found, dict)
    assert found["n"] == len(values)
    assert found["mean"] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert ends(found) == pytest.approx(expected, rel=1e-6, abs=1e-5)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=30))
def test_a_share_has_an_interval_even_at_its_ends(values: list[float]) -> None:
    found = share(values)
    assert isinstance(found, dict)
    assert found["mean"] == pytest.approx(np.mean(values))
    assert 0 <= found["low"] <= found["mean"] + 1e-9
    assert found["mean"] - 1e-9 <= found["high"] <= 1
    assert found["high"] - found["low"] > 0.05


def test_none_of_fourteen_may_be_one_in_five() -> None:
    """Wilson's upper end, z² / (n + z²)."""
    assert ends(share([0.0] * 14)) == (pytest.approx(0.0, abs=1e-9), pytest.approx(1.96**2 / (14 + 1.96**2), rel=1e-3))
    assert share([1.0]) == 1.0


def test_few_prompts_have_the_t_interval() -> None:
    values = [0.1, 0.4, 0.2, 0.5, 0.3, 0.1, 0.6, 0.2]
    assert ends(over_few(values)) == pytest.approx(stats.t.interval(0.95, 7, np.mean(values), stats.sem(values)))
    assert ends(over_few([0.0, 0.0, 0.0, 0.1], 0.0))[0] == 0.0


def test_one_seed_stays_a_number() -> None:
    assert leaf([0.25]) == 0.25
    assert mean(0.25) == 0.25
    assert ends(0.25) == (0.25, 0.25)


def test_intervals_stay_inside_what_the_number_can_be() -> None:
    tree = over_seeds(
        [{"dead": 0.0, "fve": {"pooled": 0.9}, "l0": 1.0}, {"dead": 0.9, "fve": {"pooled": 0.99}, "l0": 9.0}]
    )
    assert ends(tree["dead"]) == (0.0, 1.0)
    assert tree["fve"]["pooled"]["high"] == 1.0
    assert ends(tree["l0"])[0] == 0.0
    assert ends(over_seeds([{"change": -1.0}, {"change": 1.0}])["change"])[0] < -1


def test_a_name_only_some_seeds_have_keeps_those() -> None:
    tree = over_seeds([{"a": {"x": 1.0}}, {"a": {"x": 3.0, "y": 5.0}}])
    assert tree["a"]["x"]["n"] == 2
    assert tree["a"]["y"] == 5.0


def test_bootstrap_of_a_single_cluster_has_no_interval() -> None:
    assert plain({"mean": 0.5, "low": math.nan, "high": math.nan, "n": 1}) == 0.5
