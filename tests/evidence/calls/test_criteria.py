"""The statistic behind each call, by kind of dictionary."""

import numpy as np

from crossdiff.evidence.calls.criteria import CRITERIA, statistic

CALLS = np.array(["chat-specific", "base-specific", "rotated", "rescaled", "none"], dtype=object)


def latents(**values: list[float]) -> dict[str, np.ndarray]:
    """Numbers of five latents; the errors are a tenth of them, all well posed."""
    found: dict[str, np.ndarray] = {}
    for name, numbers in values.items():
        side = "_base" if name.endswith("_base") else ""
        stem = name.removesuffix(side)
        found |= {name: np.array(numbers), f"{stem}_se{side}": np.array(numbers) / 10}
        found[f"{stem}_valid{side}"] = np.ones(5, dtype=bool)
    return found


CROSSCODER = latents(
    nu_centred=[0.1, 0.2, 0.3, 0.4, 0.5], nu_centred_base=[1.1, 1.2, 0.03, 1.4, 1.5],
    delta_fitted=[0.5] * 5, strength_ratio=[2.1, 2.2, 2.3, 2.4, 2.5],
)  # fmt: skip


def test_each_call_of_a_crosscoder_has_its_own() -> None:
    value, error, name = statistic(CROSSCODER, "crosscoder", CALLS)
    assert value.tolist() == [0.1, 1.2, 0.3, 2.4, 0.5]
    np.testing.assert_allclose(error, value / 10)
    assert name.tolist() == [
        "nu_centred", "nu_centred_base", "nu_centred, nu_centred_base", "strength_ratio", "nu_centred",
    ]  # fmt: skip


def test_a_rotated_latent_goes_by_the_larger_of_both_with_its_error() -> None:
    numbers = CROSSCODER | {"nu_centred_base": np.full(5, 0.7), "nu_centred_se_base": np.full(5, 0.02)}
    value, error, _ = statistic(numbers, "crosscoder", CALLS)
    assert (value[2], error[2]) == (0.7, 0.02)


def test_what_is_ill_posed_has_no_value() -> None:
    numbers = CROSSCODER | {"nu_centred_valid": np.array([True, True, False, True, False])}
    value, _, _ = statistic(numbers, "crosscoder", CALLS)
    assert np.isnan(value).tolist() == [False, False, True, False, True]


def test_a_diff_sae_is_tested_by_separation_whatever_the_call() -> None:
    numbers = latents(separation_difference=[0.1, -0.2, 0.3, 0.4, 0.5])
    value, _, name = statistic(numbers, "diff-sae", CALLS)
    assert value.tolist() == [0.1, -0.2, 0.3, 0.4, 0.5]
    assert set(name) == {"separation_difference"}


def test_the_latents_numbers_are_left_as_they_are() -> None:
    before = CROSSCODER["nu_centred"].copy()
    statistic(CROSSCODER, "crosscoder", CALLS)
    assert (CROSSCODER["nu_centred"] == before).all()
    assert [criterion.call for criterion in CRITERIA["crosscoder"]] == CALLS[:4].tolist()
