"""Verdicts in words: on criteria where the truth is known, and on what seeds agree on."""

from typing import Any

from crossdiff.report.agreement import agreement
from crossdiff.report.believed import verdict
from crossdiff.report.numbers import Numbers


def synthetic(**criteria: tuple[float, float]) -> Numbers:
    numbers = {
        name: {"precision": right, "null_called": false, "called": 40.0} for name, (right, false) in criteria.items()
    }
    return Numbers({"dictionaries": {}, "synthetic": {"cc": {"criteria": {"chat": numbers}}}})


def test_the_criterion_that_is_right_most_often_is_named() -> None:
    text = verdict(synthetic(nu_pair=(0.8, 0), nu=(0.5, 0)))
    assert "No fixed threshold can be believed" in text
    assert "<code>cc</code> ν<sub>r</sub> and ν<sub>ε</sub>, right on" in text
    sure = synthetic(nu=(0.95, 0))
    assert "A fixed threshold can be believed in 1 of" in verdict(sure)
    sure.metrics["synthetic"]["cc"]["criteria"]["chat"]["nu"]["called"] = 1.0
    assert "No fixed threshold can be believed" in verdict(sure), "one call that is right says little"


def test_calls_where_nothing_differs_undo_a_belief() -> None:
    text = verdict(synthetic(nu=(0.95, 68)))
    assert "No fixed threshold can be believed" in text
    assert "where nothing differs" in text.partition("The best of each")[2]


def stable(**sets: dict[str, Any]) -> Numbers:
    return Numbers({"dictionaries": {"cc": {"calls": {"stability": sets}}}})


def test_seeds_that_share_no_more_than_chance_are_said_to() -> None:
    text = agreement(["cc"], stable(**{"nu_0.3": {"jaccard": 0.004, "jaccard_chance": 0.004}}))
    assert "not clearly more often than chance" in text
    wide = {"mean": 0.0042, "low": 0.0004, "high": 0.008, "n": 3}
    unclear = agreement(["cc"], stable(**{"nu_0.3": {"jaccard": wide, "jaccard_chance": 0.004}}))
    assert "not clearly more often than chance" in unclear
    called = stable(calibrated={"jaccard": 0.3, "jaccard_chance": 0.01}, **{"nu_0.3": {"jaccard": 0.0}})
    assert "clearly more often than chance would in <code>cc</code>" in agreement(["cc"], called)
    assert "nothing to compare" in agreement(["cc"], stable(all={"reappears": 0.5}))
