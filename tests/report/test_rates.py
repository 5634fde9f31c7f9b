"""Whether stated rates are met, in a sentence and in a grid."""

from typing import Any

from crossdiff.report.calls import held
from crossdiff.report.numbers import setting
from crossdiff.report.rates import grid, verdict


def entry(call: str, observed: float, source: str = "null", nominal: float | None = 0.1) -> dict[str, Any]:
    return {
        "dictionary": "cc", "source": source, "criterion": f"{call}, calibrated", "nominal": nominal,
        "observed": {"mean": observed, "low": 0.0, "high": 1.0, "n": 2}, "seeds": 2, "called": 4.0, "recall": None,
    }  # fmt: skip


RATE = setting("10 %", "calibration", "q")


def test_a_rate_that_is_missed_anywhere_is_named_once() -> None:
    found = [entry("rotated", 0.4), entry("rotated", 1.0, "pair"), entry("chat-specific", 0.12)]
    assert verdict(found, 0.1) == (
        f"<strong>The stated {RATE} is not met everywhere it was tested</strong> (1½ times counts as met): not in"
        " <code>cc</code> (rotated)"
    )
    assert verdict(found[2:], 0.1) == f"The stated {RATE} is met wherever it was tested (1½ times counts as met)"


def test_other_rates_fixed_thresholds_and_unknown_rates_are_no_tests() -> None:
    fixed = entry("chat-specific", 0.9, nominal=None) | {"criterion": "chat-specific, nu_0.3"}
    assert verdict([fixed, entry("rotated", 1.0, nominal=0.2), entry("rotated", 1.0) | {"observed": None}], 0.1) is None


def test_where_nothing_was_called_that_should_be_no_rate_was_seen() -> None:
    silent = entry("rescaled", 0.0) | {"called": 0.0, "recall": 0.0}
    assert held(silent) is None
    assert held(silent | {"recall": None}) is True, "on a null nothing should be called"
    assert verdict([silent, entry("rotated", 0.4)], 0.1) == verdict([entry("rotated", 0.4)], 0.1)


def test_the_grid_has_a_row_for_each_source() -> None:
    calls, every = grid([entry("rotated", 0.0), entry("rotated", 1.0, "pair"), entry("rescaled", 0.0)], 0.1)
    assert calls == ["rotated", "rescaled"]
    assert {source: list(row) for source, row in every["cc"].items()} == {
        "null": ["rotated", "rescaled"], "pair": ["rotated"],
    }  # fmt: skip
    assert every["cc"]["pair"]["rotated"]["observed"]["mean"] == 1.0
