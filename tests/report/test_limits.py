"""The limits say what calls are calibrated on, and so what they are worth."""

from types import SimpleNamespace

import pytest

from crossdiff.parts import Calibration, Source, Synthetic
from crossdiff.report.limits import nulls


@pytest.mark.parametrize(
    ("calibration", "synthetic", "said"),
    [
        (Calibration(), Synthetic(), "on a synthetic null alone"),
        (Calibration(null_tune=Source(path="general")), Synthetic(), "upheld if they also hold on a tune"),
        (Calibration(null_tune=Source(path="general"), null_seeds=[0, 1]), None, "two seeds of each dictionary. What"),
        (Calibration(synthetic=False), Synthetic(), "nothing is called"),
        (Calibration(), None, "nothing is called"),
    ],
)
def test_what_calls_are_calibrated_on(calibration: Calibration, synthetic: Synthetic | None, said: str) -> None:
    config = SimpleNamespace(calibration=calibration, synthetic=synthetic, null_pair=calibration.null_tune)
    assert said in str(nulls(SimpleNamespace(config=config)))
