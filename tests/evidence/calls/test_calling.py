"""Calls on tables with known classes: what is called what, what is refused, and at which rate it is wrong."""

import numpy as np
import pytest
from null_latents import make_latents, make_null

from crossdiff.evidence.calls.calling import call
from crossdiff.evidence.calls.criteria import CRITERIA, fixed
from crossdiff.evidence.calls.honesty import ANY, LEVELS, TRUE, held_out, score

SEEDS = range(6)


def test_each_class_gets_its_call():
    latents, classes = make_latents(0)
    found = call(latents, [make_null(seed) for seed in range(1, 4)], "crosscoder", 0.1)
    for what, members in TRUE.items():
        called = found.call[np.isin(classes, members)]
        assert (called == what).mean() > 0.5, what
    assert (found.call[classes == "identical"] == "none").mean() > 0.95
    assert found.nulls["chat-specific"] > 5000
    assert all(np.nanmin(p) >= 1 / (1 + found.nulls[name]) for name, p in found.p.items())


def test_a_rotated_latent_is_not_one_models():
    """One code, two orthogonal directions of equal length: each model's direction is foreign to the other."""
    latents, _ = make_latents(0, shares={})
    turned = slice(0, 40)
    for name in ("nu_centred", "nu_centred_base"):
        latents[name][turned] = 0.02
        latents[name.replace("centred", "centred_se")][turned] = 0.01
    found = call(latents, [make_null(seed) for seed in range(1, 4)], "crosscoder", 0.1)
    assert set(found.call[turned]) == {"rotated"}


def test_ill_posed_latents_are_flagged_and_never_called():
    latents, _ = make_latents(0)
    for name in ("nu_centred_valid", "nu_centred_valid_base"):
        latents[name][:500] = False
    latents["active_blocks"][500:700] = 4
    latents["dead"][700:800] = True
    found = call(latents, [make_null(seed) for seed in range(1, 4)], "crosscoder", 0.1)
    assert not np.isin(found.call[:500], ["chat-specific", "base-specific"]).any()
    assert np.isnan(found.q["chat-specific"][:700]).all()
    assert set(found.call[500:700]) == {"undetermined"}
    assert set(found.call[700:800]) == {"dead"}


def test_a_small_but_certain_effect_is_no_exclusivity():
    """ν of 0.7 with a tiny error is unlike the nulls, but the base still uses the direction."""
    latents, _ = make_latents(0, shares={})
    latents["nu_centred"][:60] = 0.7
    latents["nu_centred_se"][:60] = 1e-4
    found = call(latents, [make_null(seed) for seed in range(1, 4)], "crosscoder", 0.1)
    assert not (found.call[:60] == "chat-specific").any()
    latents["nu_centred"][:60] = 0.1
    again = call(latents, [make_null(seed) for seed in range(1, 4)], "crosscoder", 0.1)
    assert (again.call[:60] == "chat-specific").all()


def test_a_direction_used_with_the_opposite_sign_is_not_one_models():
    latents, _ = make_latents(0, "chat-sae", shares={})
    latents["nu_centred"][:60] = -1.0
    found = call(latents, [make_null(seed, "chat-sae") for seed in range(1, 4)], "chat-sae", 0.1)
    assert not (found.call[:60] == "chat-specific").any()


@pytest.mark.parametrize(("times", "expected"), [(4.0, "rescaled"), (0.25, "rescaled"), (8.0, "none"), (1.02, "none")])
def test_a_rescaled_latent_is_in_both_models(times: float, expected: str):
    latents, _ = make_latents(0, shares={})
    latents["strength_ratio"][:60] = np.log(times)
    latents["delta_fitted"][:60] = 0.5 * (1 + (times - 1) / max(times, 1))
    latents["strength_ratio_se"][:60] = latents["delta_fitted_se"][:60] = 1e-3
    found = call(latents, [make_null(seed) for seed in range(1, 4)], "crosscoder", 0.1)
    assert (found.call[:60] == expected).mean() > 0.9


def test_too_few_nulls_call_nothing_and_say_so():
    latents, _ = make_latents(0, shares={"chat-only": 0.005})
    found = call(latents, [make_null(1, latents=60)], "crosscoder", 0.05)
    assert not (found.call == "chat-specific").any()
    assert found.least["chat-specific"] > 10
    nothing = call(latents, [], "crosscoder", 0.05)
    assert set(nothing.call) == {"undetermined"}
    assert nothing.nulls["chat-specific"] == 0


def test_a_scale_of_the_whole_stream_is_nobodys_call():
    """ν of 0.94 everywhere, as in a tune that lengthens the stream, is the bulk and not a finding."""
    latents, _ = make_latents(0, shares={}, centre=0.9)
    found = call(latents, [make_null(seed) for seed in range(1, 4)], "crosscoder", 0.1)
    assert (found.call == "none").mean() > 0.99


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae", "chat-sae"])
def test_the_stated_rate_is_honest(kind):
    """Observed false discovery rate at most 1.5 × the nominal one over six held-out seeds, with the recall it costs."""
    made = {seed: make_latents(seed, kind) for seed in SEEDS}
    nulls = {seed: make_null(seed + 100, kind) for seed in SEEDS}
    pair = {seed: table for seed, (table, _) in made.items()}
    truth = {seed: classes for seed, (_, classes) in made.items()}
    checks = list(held_out(pair, nulls, kind, truth))
    for level in LEVELS:
        for what in [*(criterion.call for criterion in CRITERIA[kind]), *([] if kind == "diff-sae" else [ANY])]:
            mine = [check for check in checks if check.call == what and check.nominal == level]
            assert len(mine) == len(SEEDS)
            observed = np.mean([check.observed for check in mine])
            assert observed <= 1.5 * level, (what, level, observed)
            if what in ("chat-specific", "base-specific"):
                assert np.mean([check.recall for check in mine]) > 0.5, (what, level)
    assert (ANY in {check.call for check in checks}) == (kind != "diff-sae")


def test_held_out_nulls_are_seldom_called():
    """On nulls any call is false: calls come in at most about the stated share of held-out dictionaries."""
    nulls = {seed: make_null(seed + 200, latents=600) for seed in range(40)}
    few = {seed: nulls[seed] for seed in range(40)}
    checks = [check for check in held_out(few, nulls, "crosscoder", None, [0.2]) if check.criterion == "calibrated"]
    for what in ("chat-specific", "rotated", "rescaled"):
        observed = np.mean([check.observed for check in checks if check.call == what])
        assert observed <= 0.2 + 2 * np.sqrt(0.2 * 0.8 / 40), what


def test_nulls_that_look_like_the_claim_are_stopped_by_their_rank():
    """Every dictionary, the nulls too, has latents whose ν is 0: no bound stops them, and they are no finding."""
    nulls = {seed: make_latents(seed, latents=600, shares={"chat-only": 0.03})[0] for seed in range(40)}
    checks = list(held_out(nulls, nulls, "crosscoder", None, [0.2]))
    mine = [check for check in checks if (check.criterion, check.call) == ("calibrated", "chat-specific")]
    assert np.mean([check.observed for check in mine]) <= 0.2 + 2 * np.sqrt(0.2 * 0.8 / 40)
    fixed_ = [check for check in checks if (check.criterion, check.call) == ("nu_0.3", "chat-specific")]
    assert np.mean([check.observed for check in fixed_]) == 1


def test_one_seed_has_nothing_to_be_held_out_from():
    assert list(held_out({0: make_null(0)}, {0: make_null(0)}, "crosscoder", None)) == []


@pytest.mark.parametrize(
    ("called", "right", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], (2, 0.0, 1.0, 0)),
        ([1, 1, 1, 1], [1, 1, 0, 0], (4, 0.5, 1.0, 0)),
        ([0, 0, 0, 0], [1, 1, 0, 0], (0, 0.0, 0.0, 0)),
        ([0, 0, 1, 1], [1, 1, 0, 0], (2, 1.0, 0.0, 0)),
    ],
    ids=["perfect", "saturated", "empty", "all wrong"],
)
def test_scores_of_known_calls(called, right, expected):
    masks = np.array(called, bool), np.array(right, bool)
    assert score(*masks, np.ones(4, bool)) == expected


def test_latents_without_an_answer_count_neither_way():
    found = score(np.array([True, True, True]), np.array([True, False, False]), np.array([True, False, True]))
    assert found == (2, 0.5, 1.0, 1)
    assert np.isnan(score(np.ones(2, bool), np.zeros(2, bool), np.ones(2, bool))[2])


def test_fixed_thresholds_are_the_literatures():
    latents, _ = make_latents(0, latents=5)
    latents |= {
        "delta_norm": np.array([0.95, 0.05, 0.5, np.nan, 0.5]),
        "nu_reconstruction": np.array([0.4, 0.4, 0.6, 0.1, 0.1]),
        "nu_error": np.array([0.1, 0.3, 0.1, np.nan, -4.5]),
        "nu_activation": np.array([-0.2, 0.29, 0.31, 0.1, 0.9]),
        "nu_valid": np.array([True, True, True, False, True]),
        "dead": np.zeros(5, bool),
    }
    found = {key: mask.tolist() for key, mask in fixed(latents, "crosscoder").items()}
    assert found["delta_norm", "chat-specific"] == [True, False, False, False, False]
    assert found["delta_norm", "base-specific"] == [False, True, False, False, False]
    assert found["nu_pair", "chat-specific"] == [True, False, False, False, False]
    assert found["nu_0.3", "chat-specific"] == [True, True, False, False, False]
    assert set(fixed(latents, "diff-sae")) == {("nu_0.3", "chat-specific")}
