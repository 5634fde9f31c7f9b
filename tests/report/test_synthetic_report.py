"""The synthetic benchmark's numbers, figure and section."""

from typing import Any

import polars as pl
import pytest
from study_files import Written

from crossdiff.report.figures.synthetic import synthetic as figures
from crossdiff.report.numbers import Numbers, written
from crossdiff.report.synthetic import buckets, numbers, synthetic


def rows(*given: dict[str, Any]) -> pl.DataFrame:
    blank = {
        "world": "pair",
        "dictionary": "d",
        "seed": 0,
        "side": "chat",
        "criterion": "nu",
        "class": None,
        "bucket": None,
    }
    schema = {"side": pl.String, "criterion": pl.String, "class": pl.String, "bucket": pl.String, "value": pl.Float64}
    return pl.DataFrame([blank | row for row in given], schema_overrides=schema)


def test_numbers_are_means_over_the_seeds_that_have_one() -> None:
    table = rows(
        {"score": "precision", "class": "exclusive", "value": 0.5},
        {"score": "precision", "class": "exclusive", "seed": 1, "value": 0.7},
        {"score": "precision", "class": "exclusive", "seed": 2, "value": float("nan")},
        {"score": "precision", "class": "child-new", "value": 0.1},
        {"score": "called", "value": 7.0},
        {"score": "called", "world": "null", "value": 3.0},
        {"score": "call_rate", "value": 0.9},
        {"score": "call_rate", "world": "null", "value": 0.02},
        {"score": "call_rate", "class": "regated", "value": 0.4},
    )
    found = synthetic(table)["d"]["criteria"]["chat"]["nu"]
    assert found["precision"]["mean"] == pytest.approx(0.6)
    assert found["precision"]["n"] == 2
    assert (found["called"], found["null_called"], found["null_rate"]) == (7, 3, 0.02)
    assert found["classes"] == {"regated": 0.4}
    assert "recall" not in found


def test_an_interval_of_shares_stays_a_share() -> None:
    values = [{"score": "dead", "seed": seed, "value": value} for seed, value in enumerate((0.0, 0.9, 0.9))]
    assert numbers(rows(*values), ("dead",))["dead"]["high"] == 1


def test_of_two_seeds_both_values_are_told() -> None:
    table = rows({"score": "dead", "value": 0.2}, {"score": "dead", "seed": 1, "value": 0.3})
    assert numbers(table, ("dead",)) == {"dead": {"mean": pytest.approx(0.25), "low": 0.2, "high": 0.3, "n": 2}}
    shown = Numbers({"dictionaries": {}, "synthetic": numbers(table, ("dead",))}).show("synthetic", "dead")
    assert "0.200 and 0.300" in shown
    assert "95 %" not in shown


def test_buckets_keep_number_and_criterion() -> None:
    table = rows(
        {"score": "found", "class": "chat-only", "bucket": "effect 0.5", "value": 0.2},
        {"score": "found", "class": "chat-only", "bucket": "effect 0.5", "seed": 1, "value": 0.4},
        {"score": "found", "bucket": "decile 10", "value": 1.0},
        {"score": "found", "world": "null", "bucket": "decile 10", "value": 0.0},
    )
    assert buckets(table, "effect", ("chat-only",)).row(0) == ("d", "nu", 0.5, pytest.approx(0.3))
    assert buckets(table, "decile", None).row(0) == ("d", "nu", 10, 1.0)
    assert [figure.name for figure in figures(table)] == ["synthetic-effect", "synthetic-frequency"]
    assert all("<svg" in figure.svg for figure in figures(table))


def test_the_page_shows_the_numbers_of_metrics(planted: Written) -> None:
    nu = planted.metrics["synthetic"]["crosscoder-batchtopk"]["criteria"]["chat"]["nu"]
    assert 'id="synthetic"' in planted.page
    pointer = "metrics.json#/synthetic/crosscoder-batchtopk/criteria/chat/nu/precision"
    shown = planted.page.split(f'data-src="{pointer}"')[1].split("<b>")[1].split("</b>")[0]
    assert shown == written(nu["precision"]["mean"], "percent")


def test_a_study_without_it_has_no_section(plain: Written) -> None:
    assert 'id="synthetic"' not in plain.page
    assert "synthetic" not in plain.metrics
