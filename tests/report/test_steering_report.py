"""Answers under single latents: rates in metrics.json, and the answers on the page."""

import polars as pl
from study_files import BEHAVIOURS, Written

from crossdiff.report.collect import collect
from crossdiff.report.steering import rates, side_by_side


def test_rates_are_shares_over_prompts_and_latents() -> None:
    table = pl.DataFrame({
        "model": ["base"] * 5, "scale": [0.0, 1.0, 1.0, 1.0, 1.0], "latent": [None, 4, 4, 9, 9],
        "shows": [[], ["a"], ["a", "b"], ["b"], []],
    })  # fmt: skip
    assert rates(table, [1.0, 2.0], ["a", "b", "c"]) == {
        "base": {"0": {"a": 0.0, "b": 0.0, "c": 0.0}, "1": {"a": 0.5, "b": 0.5, "c": 0.0}}
    }


def test_metrics_have_the_rates_of_every_dictionary(planted: Written) -> None:
    for tree in planted.metrics["dictionaries"].values():
        assert tree["steering"]["base"]["1"][BEHAVIOURS[0]]["mean"] == 1.0
        assert tree["steering"]["base"]["-1"][BEHAVIOURS[0]]["mean"] == 0.0
        assert tree["seeds"]["1"]["steering"]["chat"]["1"][BEHAVIOURS[0]] == 0.0


def test_answers_stand_side_by_side(planted: Written, plain: Written) -> None:
    study = collect(planted.config, planted.root)
    first, control = side_by_side(study.dictionaries[0])
    assert (first.behaviour, control.behaviour) == (None, BEHAVIOURS[0])
    assert [added for added, _, _ in first.answers["base"]] == ["unsteered", "latent 5 × 1", "latent 5 × −1"]
    assert first.answers["base"][1][2] == [BEHAVIOURS[0]]
    assert "Under single latents" in planted.page
    assert "base &amp; 5 says &lt;so&gt;." in planted.page
    assert "Under single latents" not in plain.page
