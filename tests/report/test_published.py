"""Published numbers: graded, of pairs that have an overlay, and set beside the same quantity."""

import json
from pathlib import Path

import pytest
import yaml

from crossdiff.report.published import GRADES, Number, beside, published

ROOT = Path(__file__).parents[2]
METRICS = json.loads((ROOT / "results/smollm2-planted/metrics.json").read_text())
GEMMA = published("google/gemma-2-2b", "google/gemma-2-2b-it")


def test_numbers_are_those_of_a_pair_with_an_overlay() -> None:
    overlay = yaml.safe_load((ROOT / "configs/gemma-2-2b.yaml").read_text())["pair"]
    assert published(overlay["base"]["path"], overlay["chat"]["path"]) == GEMMA != ()
    assert published("google/gemma-2-2b", None) == published("a", "b") == ()


@pytest.mark.parametrize("number", GEMMA, ids=lambda n: f"{n.dictionary}-{n.quantity}"[:60])
def test_each_number_is_graded_and_measures_what_the_study_measures(number: Number) -> None:
    assert number.grade in GRADES
    assert (number.value is None) == (number.low is not None) == (number.high is not None)
    if number.key:
        (found,) = beside((number,), METRICS)
        leaf = found.obtained["mean"] if isinstance(found.obtained, dict) else found.obtained
        assert isinstance(leaf, float | int), number.path()


def test_a_study_without_a_counterpart_leaves_it_out() -> None:
    number = Number(quantity="q", grade="S", value=1.0, dictionary="other", key="fve.pooled")
    plain = Number(quantity="q", grade="S", value=1.0)
    assert [each.obtained for each in beside((number, plain), METRICS)] == [None, None]
    tree = {"dictionaries": {"other": {"fve": {"pooled": 0.5}}}}
    assert beside((number,), tree)[0].obtained == 0.5
