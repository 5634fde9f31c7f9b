"""What a latent was tested by, for each call and kind of dictionary."""

import polars as pl
import pytest

from crossdiff.report.called import with_calls

CALLS = ("chat-specific", "base-specific", "rotated", "rescaled", "none")
LATENTS = pl.DataFrame({"latent": pl.Series(range(5), dtype=pl.UInt32)})


def calls(**statistics: list[float | None]) -> pl.DataFrame:
    """One latent of each call; intervals are a tenth to either side."""
    columns: dict[str, object] = {"latent": list(range(5)), "call": CALLS}
    for name, values in statistics.items():
        ends = [[None if v is None else v + side for v in values] for side in (-0.1, 0.1)]
        columns |= {name: values, f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return pl.DataFrame(columns)


def test_a_crosscoders_call_decides_which_statistic_is_shown() -> None:
    table = with_calls(LATENTS, calls(
        nu_centred=[0.1, 0.2, 0.3, 0.4, 0.5], nu_centred_base=[1.1, 1.2, 1.3, 1.4, 1.5],
        delta_fitted=[2.1, 2.2, 2.3, 2.4, 2.5],
    ))  # fmt: skip
    assert table["tested_by"].to_list() == [
        "nu_centred", "nu_centred_base", "nu_centred_base", "delta_fitted", "nu_centred",
    ]  # fmt: skip
    assert table["tested"].to_list() == [0.1, 1.2, 1.3, 2.4, 0.5]
    assert table["tested_low"].to_list() == pytest.approx([0.0, 1.1, 1.2, 2.3, 0.4])
    assert table["tested_high"].to_list() == pytest.approx([0.2, 1.3, 1.4, 2.5, 0.6])


def test_rotated_goes_by_the_larger_of_both() -> None:
    table = with_calls(LATENTS, calls(nu_centred=[0.8] * 5, nu_centred_base=[0.1] * 5))
    assert table["tested_by"].to_list()[1:3] == ["nu_centred_base", "nu_centred"]


def test_a_diff_saes_latents_are_tested_by_separation() -> None:
    table = with_calls(LATENTS, calls(nu_centred=[0.8] * 5, separation_difference=[0.1, None, 0.3, 0.4, 0.5]))
    assert table["tested"].to_list() == [0.1, None, 0.3, 0.4, 0.5]
    assert table["tested_by"].to_list() == ["separation_difference", None, *["separation_difference"] * 3]


def test_calls_without_statistics_leave_them_out() -> None:
    table = with_calls(LATENTS, calls())
    assert "tested" not in table.columns
    assert table["tested_by"].null_count() == 5
