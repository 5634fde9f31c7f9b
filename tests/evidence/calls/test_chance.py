"""What several seeds would name together by chance, against counting all cases."""

from itertools import product

import numpy as np
import pytest

from crossdiff.evidence.calls.chance import exactly, expected, together


@pytest.mark.parametrize("events", [1, 2, 5])
def test_the_distribution_is_that_of_all_cases(events):
    p = np.random.default_rng(events).uniform(0, 1, (3, events))
    p[0, 0], p[1, -1] = 0, 1
    wanted = np.zeros((3, events + 1))
    for happens in product([False, True], repeat=events):
        wanted[:, sum(happens)] += np.where(happens, p, 1 - p).prod(1)
    np.testing.assert_allclose(exactly(p), wanted, atol=1e-12)


def test_mean_and_interval_are_those_of_many_draws():
    p = np.random.default_rng(0).uniform(0, 0.3, 300)
    found = expected(p)
    drawn = (np.random.default_rng(1).uniform(size=(20_000, 300)) < p).sum(1)
    assert found["mean"] == pytest.approx(drawn.mean(), abs=0.2)
    assert [found["low"], found["high"]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=1)
    assert found["n"] == 300
    assert expected(np.zeros(4)) == {"mean": 0, "low": 0, "high": 0, "n": 4}
    assert expected(np.zeros(0)) == {"mean": 0, "low": 0, "high": 0, "n": 0}


def test_a_group_counts_where_enough_of_its_latents_are_named():
    member = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1]], dtype=bool)
    named = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0]], dtype=bool)
    rates = {0: 0.5, 1: 0.5, 2: 0.1}
    seen, chance = together(member, named, rates, 2)
    assert seen == 2
    # Two of (½, ½, 0.1), of (½, ½) and of (½, 0.1).
    assert chance["mean"] == pytest.approx((0.25 * 0.9 + 2 * 0.25 * 0.1 + 0.25 * 0.1) + 0.25 + 0.05)
    assert together(member, named, rates, 3)[0] == 0


def test_sets_drawn_at_random_share_what_chance_says():
    rng = np.random.default_rng(2)
    member = np.ones((400, 3), dtype=bool)
    seen = [together(member, rng.uniform(size=(400, 3)) < 0.2, dict.fromkeys(range(3), 0.2), 2) for _ in range(60)]
    assert np.mean([count for count, _ in seen]) == pytest.approx(seen[0][1]["mean"], rel=0.05)
    assert np.mean([chance["low"] <= count <= chance["high"] for count, chance in seen]) > 0.85
