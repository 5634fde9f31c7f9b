"""The limits say what calls are calibrated on, and so what they are worth."""

from types import SimpleNamespace

import pytest

from crossdiff.config import Config
from crossdiff.parts.calibration import Calibration
from crossdiff.parts.pair import Planting, Source
from crossdiff.parts.synthetic import Synthetic
from crossdiff.report.limits import nulls, smaller_null
from crossdiff.report.numbers import Numbers


@pytest.mark.parametrize(
    ("calibration", "synthetic", "said"),
    [
        (Calibration(), Synthetic(), "on a synthetic null alone"),
        (
            Calibration(null_tune=Source(path="general")),
            Synthetic(),
            "upheld if they also hold on the null tune, another tune of the same base",
        ),
        (Calibration(null_tune=Source(path="general"), null_seeds=[0, 1]), None, "two seeds of each dictionary"),
        (
            Calibration(null_tune=Source(planted=Planting(behaviours=[], general=9, steps=5))),
            Synthetic(),
            "the same base tuned for 5 steps on 9 general conversations, with nothing planted (one seed of each"
            " dictionary)",
        ),
        (Calibration(synthetic=False), Synthetic(), "nothing is called"),
        (Calibration(), None, "nothing is called"),
    ],
)
def test_what_calls_are_calibrated_on(calibration: Calibration, synthetic: Synthetic | None, said: str) -> None:
    config = SimpleNamespace(calibration=calibration, synthetic=synthetic, null_pair=calibration.null_tune)
    config.synthetic_null = Config.synthetic_null.fget(config)
    assert said in str(nulls(SimpleNamespace(config=config)))


@pytest.mark.parametrize(("null", "said"), [(0.03, True), (0.07, False), (None, False)])
def test_a_null_tune_that_changes_less_bounds_less(null: float | None, said: bool) -> None:
    shares = {"difference_share": {"overall": 0.06}, "null_difference_share": {"overall": null}}
    numbers = Numbers({"pair": {name: share for name, share in shares.items() if share["overall"] is not None}})
    sentences = [text.striptags() for text in smaller_null(numbers)]
    assert bool(sentences) == said
    assert all("3.0 % of the variance, the pair by 6.0 %" in text for text in sentences)
