"""The limits say what calls are calibrated on, and so what they are worth."""

from types import SimpleNamespace

import pytest

from crossdiff.parts import Calibration, Synthetic
from crossdiff.report.limits import nulls


@pytest.mark.parametrize(
    ("calibration", "synthetic", "said"),
    [
        (Calibration(), Synthetic(), "on a synthetic null alone"),
        (Calibration(nulls=["their-null"]), Synthetic(), "their-null"),
        (Calibration(nulls=["their-null"]), None, "their-null"),
        (Calibration(synthetic=False), Synthetic(), "nothing is called"),
        (Calibration(), None, "nothing is called"),
    ],
)
def test_what_calls_are_calibrated_on(calibration: Calibration, synthetic: Synthetic | None, said: str) -> None:
    config = SimpleNamespace(calibration=calibration, synthetic=synthetic)
    assert said in str(nulls(SimpleNamespace(config=config)))
