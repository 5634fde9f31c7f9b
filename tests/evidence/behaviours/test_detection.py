"""Areas, accuracies and detectors with known answers: perfect, reversed, random, tied, empty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from crossdiff.errors import UserError
from crossdiff.evidence.behaviours.detection import accuracy, auroc, auroc_interval, fit

SHOWS = np.array([True] * 6 + [False] * 4)


def test_area_of_perfect_reversed_and_tied_scores():
    assert auroc(np.array([3.0, 2.0]), np.array([1.0, 0.0, 1.5])) == 1
    assert auroc(np.array([0.0]), np.array([1.0, 2.0])) == 0
    assert auroc(np.zeros(5), np.zeros(3)) == 0.5
    assert np.isnan(auroc(np.zeros(0), np.zeros(3)))
    assert np.isnan(auroc(np.zeros(3), np.zeros(0)))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_area_is_the_share_of_pairs_in_order(shown, control):
    pairs = [(a > b) + 0.5 * (a == b) for a in shown for b in control]
    assert auroc(np.array(shown, float), np.array(control, float)) == pytest.approx(np.mean(pairs))


def test_a_silent_latent_cannot_reach_an_area_of_one():
    """Silent on half of the prompts it should see: the other half is tied with the controls, so 0.75 is the most."""
    assert auroc(np.array([2.0, 1.0, 0.0, 0.0]), np.zeros(3)) == 0.75


@given(st.floats(0, 1), st.integers(2, 40), st.integers(2, 40))
def test_interval_holds_the_area_and_its_ends_solve_the_definition(area, shown, control):
    low, high = auroc_interval(area, shown, control)
    assert 0 <= low <= area <= high <= 1
    assert high > low
    extra, z = (shown + control) / 2 - 1, norm.ppf(0.975)
    for end in (low, high):
        if 1e-6 < end < 1 - 1e-6 and abs(end - area) > 1e-6:
            spread = end * (1 - end) * (1 + extra * (1 - end) / (2 - end) + extra * end / (1 + end))
            assert abs(area - end) == pytest.approx(z * np.sqrt(spread / (shown * control)), rel=1e-3, abs=1e-6)


def test_a_perfect_area_of_few_prompts_is_not_certain():
    assert auroc_interval(1.0, 12, 6)[1] == 1
    assert 0.7 < auroc_interval(1.0, 12, 6)[0] < 0.9
    assert auroc_interval(1.0, 400, 400)[0] > 0.98
    low, high = auroc_interval(0.5, 12, 6)
    assert low + high == pytest.approx(1)


def test_interval_covers_the_truth():
    """Normal scores whose area is 0.76: about 95 % of intervals hold it."""
    rng, truth = np.random.default_rng(0), norm.cdf(1 / np.sqrt(2))
    ends = [auroc_interval(auroc(rng.normal(1, 1, 12), rng.normal(0, 1, 8)), 12, 8) for _ in range(400)]
    assert np.mean([low <= truth <= high for low, high in ends]) > 0.92


def test_accuracy_of_perfect_reversed_and_constant_scores():
    shown, control = np.array([2.0, 3.0]), np.array([0.0, 1.0, 0.5])
    perfect = accuracy(shown, control, 1.5)
    assert (perfect["mean"], perfect["high"], perfect["n"]) == (1, 1, 5)
    assert perfect["low"] < 0.8
    assert accuracy(control, shown, 1.5)["mean"] == 0
    assert accuracy(np.zeros(4), np.zeros(9), 0.0)["mean"] == 0.5
    assert accuracy(shown, control, 9.0)["mean"] == 0.5


def test_the_one_telling_reading_is_chosen_with_its_sign():
    rng = np.random.default_rng(1)
    reading = rng.normal(0, 1, (10, 40))
    reading[:, 7] = np.where(SHOWS, -5, 5) + rng.normal(0, 0.1, 10)
    found = fit(reading, SHOWS, 1)
    assert found.columns == [7]
    score = found.score(reading)
    assert auroc(score[SHOWS], score[~SHOWS]) == 1
    assert accuracy(score[SHOWS], score[~SHOWS], found.threshold)["mean"] == 1


def test_only_allowed_readings_are_chosen():
    reading = np.zeros((10, 3))
    reading[:, 0] = SHOWS
    reading[::2, 1] = 1
    allowed = np.array([False, True, True])
    assert set(fit(reading, SHOWS, 3, allowed).columns) <= {1}


def test_a_reading_that_hardly_moves_does_not_win_by_its_small_spread():
    rng = np.random.default_rng(2)
    reading = rng.normal(0, 1, (10, 9))
    reading[:, 3] += 4 * SHOWS
    reading[:, 5] = 1e-9 * SHOWS + 1e-12 * rng.normal(0, 1, 10)
    assert fit(reading, SHOWS, 1).columns == [3]


def test_nothing_read_is_nothing_chosen():
    found = fit(np.zeros((10, 5)), SHOWS, 3)
    assert found.columns == []
    assert found.score(np.ones((4, 5))).tolist() == [0, 0, 0, 0]
    assert fit(np.zeros((10, 5)), SHOWS, 3, np.zeros(5, bool)).columns == []


def test_chance_readings_score_at_chance_on_other_prompts():
    """The best of 500 random readings looks perfect where it was chosen, and is worth nothing elsewhere."""
    rng = np.random.default_rng(3)
    inside, outside = [], []
    for _ in range(60):
        reading, other = rng.normal(0, 1, (10, 500)), rng.normal(0, 1, (10, 500))
        found = fit(reading, SHOWS, 3)
        for part, areas in ((reading, inside), (other, outside)):
            score = found.score(part)
            areas.append(auroc(score[SHOWS], score[~SHOWS]))
    assert np.mean(inside) > 0.95
    assert abs(np.mean(outside) - 0.5) < 0.1


def test_too_few_prompts_are_refused():
    with pytest.raises(UserError, match="behaviour_prompts"):
        fit(np.zeros((3, 2)), np.array([True, True, False]), 1)
