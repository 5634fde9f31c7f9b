"""Small p of latents that are known to be null come as often as stated, or the null is a stranger."""

import numpy as np
import pytest
from null_latents import make_latents, make_null

from crossdiff.evidence.calls.nulls import REAL, SYNTHETIC, Known
from crossdiff.evidence.calls.ranks import LEVELS, ranks

SEEDS = range(5)


def found(sources, kind="crosscoder"):
    return {(each["source"], each["call"], each["level"]): each["excess"] for each in ranks(sources, kind)}


def test_nulls_of_one_kind_keep_their_level():
    seen = found([Known(SYNTHETIC, {seed: make_null(seed) for seed in SEEDS})])
    for call in ("chat-specific", "base-specific", "rotated", "rescaled"):
        assert len(seen["synthetic null", call, 0.05]) == len(SEEDS)
        assert np.mean(seen["synthetic null", call, 0.05]) == pytest.approx(1, abs=0.2), call
        assert np.mean(seen["synthetic null", call, 0.01]) == pytest.approx(1, abs=0.4), call


def test_a_null_with_a_heavier_tail_is_a_stranger():
    other = make_null(99)
    far = np.random.default_rng(0).choice(len(other["dead"]), 60, replace=False)
    other["nu_centred"][far] = 0.5
    sources = [Known(SYNTHETIC, {seed: make_null(seed) for seed in SEEDS}), Known(REAL, {0: other})]
    seen = found(sources)
    assert seen["real null, calibrated on synthetic", "chat-specific", 0.01][0] > 2
    assert seen["real null, calibrated on synthetic", "base-specific", 0.01][0] < 2
    assert np.mean(seen["synthetic null, calibrated on real", "chat-specific", 0.01]) < 0.5
    assert ("real null", "chat-specific", 0.01) not in seen  # one seed has no other to be held out from


def test_of_a_pair_only_the_unchanged_latents_are_looked_at():
    made = {seed: make_latents(seed, "diff-sae") for seed in SEEDS}
    pair = {seed: latents for seed, (latents, _) in made.items()}
    nulls = {seed: make_null(seed + 50, "diff-sae") for seed in SEEDS}
    truth = {seed: classes for seed, (_, classes) in made.items()}
    seen = found([Known(SYNTHETIC, nulls, pair, truth)], "diff-sae")
    everything = found(
        [Known(SYNTHETIC, nulls, pair, {seed: np.full(2000, "identical") for seed in SEEDS})], "diff-sae"
    )
    where = ("synthetic pair, identical factors", "chat-specific", 0.01)
    assert np.mean(seen[where]) == pytest.approx(1, abs=0.4)
    assert np.mean(everything[where]) > 2
    nothing = {seed: np.full(2000, "rotated") for seed in SEEDS}
    assert found([Known(SYNTHETIC, nulls, pair, nothing)], "diff-sae")[where] == [None] * len(SEEDS)
    assert LEVELS == (0.05, 0.01)
