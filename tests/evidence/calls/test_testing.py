"""Numbers with errors, claims and comparison groups: exact on small tables."""

import numpy as np
import pytest
from null_latents import make_latents, make_null
from scipy.stats import t as student

from crossdiff.evidence.calls.calling import call
from crossdiff.evidence.calls.criteria import ALIKE, BOTH_NU, MIN_BLOCKS, RESCALED, ROTATED, UNEQUAL, Bound, Number
from crossdiff.evidence.calls.testing import bound_p, compared, criterion_p


def table(**columns):
    return {name: np.asarray(values, dtype=float) for name, values in columns.items()}


def test_the_largest_number_brings_its_own_error():
    latents = table(
        nu_centred=[0.5, 0.9, np.nan],
        nu_centred_base=[0.6, 0.2, 0.1],
        nu_centred_se=[0.1, 0.2, 0.3],
        nu_centred_se_base=[0.4, 0.5, 0.6],
        nu_centred_valid=[1, 1, 1],
        nu_centred_valid_base=[1, 0, 1],
    )
    value, error = BOTH_NU.of(latents)
    assert value[0] == 0.6
    assert error[0] == 0.4
    assert np.isnan(value[1:]).all()  # one side is ill-posed, one is unknown


@pytest.mark.parametrize(
    ("below", "size", "expected", "other"),
    [(True, False, 0.75, np.inf), (False, False, -0.75, np.inf), (False, True, 0.25, 0.75)],
)
def test_a_bound_is_judged_by_the_error(below, size, expected, other):
    latents = table(x=[-0.5, -0.5, -0.5, np.nan], x_se=[0.5, np.nan, 0.0, 0.1], active_blocks=[7, 7, 7, 7])
    bound = Bound(Number(("x",), ("x_se",)), 0.25, below, size)
    p = bound_p(latents, bound)
    assert p[0] == pytest.approx(student.sf(expected / 0.5, 6) + student.sf(other / 0.5, 6))
    assert p[1] == p[3] == 1
    assert p[2] == (0 if expected > 0 else 1)


def test_a_size_on_its_bound_passes_as_often_as_stated_however_large_the_error():
    rng, bound = np.random.default_rng(0), Bound(Number(("x",), ("x_se",)), 0.2, below=False, size=True)
    for error in (0.02, 0.5):
        x = 0.2 + error * rng.standard_t(6, 20_000)
        latents = {"x": x, "x_se": np.full(len(x), error), "active_blocks": np.full(len(x), 7)}
        assert (bound_p(latents, bound) <= 0.05).mean() == pytest.approx(0.05, abs=0.006)


def test_a_rotated_latent_must_be_below_the_bound_along_both_directions():
    """One ν is well below and known well, the other no less and hardly known: the second is not shown to be below."""
    latents, _ = make_latents(0, latents=1, shares={})
    latents |= table(nu_centred=[0.8], nu_centred_se=[0.01], nu_centred_base=[0.75], nu_centred_se_base=[0.5])
    assert max(float(bound_p(latents, bound)[0]) for bound in ROTATED.bounds) > 0.3


def test_an_exact_number_holds_or_does_not():
    latents = table(cosine=[ALIKE + 1e-6, ALIKE - 1e-6, np.nan], active_blocks=[9, 9, 9])
    assert bound_p(latents, Bound(Number(("cosine",)), ALIKE, below=False)).tolist() == [0, 1, 1]


def test_only_latents_that_are_what_the_claim_asks_for_are_compared():
    latents, _ = make_latents(0, latents=4, shares={})
    latents |= {
        "delta_fitted": np.array([0.5, 0.95, 0.5, 0.7]),
        "cosine": np.array([0.95, 0.95, 0.3, 0.95]),
        "strength_ratio": np.array([0.0, 3.0, 0.5, 0.4]),
        "active_blocks": np.array([MIN_BLOCKS, MIN_BLOCKS, MIN_BLOCKS, MIN_BLOCKS - 1]),
    }
    assert np.isnan(compared(latents, RESCALED)[0]).tolist() == [False, True, True, True]
    assert np.isnan(compared(latents, ROTATED)[0]).tolist() == [False, True, False, True]


def test_null_latents_one_of_whose_rows_is_gone_do_not_hide_rescaled_ones():
    nulls = [make_null(seed) for seed in range(1, 4)]
    for null in nulls:
        null["delta_fitted"][:100], null["strength_ratio"][:100] = 0.99, 5.0
    latents, classes = make_latents(0)
    found = call(latents, nulls, "crosscoder", 0.1)
    assert (found.call[classes == "rescaled"] == "rescaled").mean() > 0.5
    assert found.nulls["rescaled"] <= 3 * 1900


def test_a_badly_known_latent_is_not_far_out():
    latents, _ = make_latents(0, shares={})
    latents["strength_ratio"][:2], latents["strength_ratio_se"][:2] = 3 * UNEQUAL, [1e-3, 3.0]
    latents["delta_fitted"][:2] = 0.74
    p, _ = criterion_p(latents, [make_null(1)], RESCALED)
    assert p[0] < 0.01
    assert p[1] > 0.2


@pytest.mark.parametrize(("delta", "expected"), [(0.5, "rotated"), (0.9, "chat-specific"), (0.1, "base-specific")])
def test_one_code_of_two_directions_is_rotated_unless_one_row_dominates(delta, expected):
    latents, _ = make_latents(0, shares={})
    turned = slice(0, 40)
    for name in ("nu_centred", "nu_centred_base"):
        latents[name][turned] = 0.02
        latents[name.replace("centred", "centred_se")][turned] = 0.01
    latents["delta_fitted"][turned] = delta
    found = call(latents, [make_null(seed) for seed in range(1, 4)], "crosscoder", 0.1)
    assert set(found.call[turned]) == {expected}
