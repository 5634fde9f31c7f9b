"""Whether training reached its end: what the curves say of it, in numbers and words."""

import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from study_files import Written, edit, make_config, report, write_study

from crossdiff.report.collect import collect
from crossdiff.report.figures.training import training
from crossdiff.report.trained import SETTLED, late_rise


def told(page: str) -> str:
    """The section's text without its tags."""
    found = re.search(r'<section id="training">.*?<p>(.*?)</p>', page, re.DOTALL)
    assert found
    return re.sub(r"<[^>]+>", "", found[1])


def test_the_rise_is_the_last_tenth_less_the_one_before(planted: Written) -> None:
    run = collect(planted.config, planted.root).dictionaries[0].runs[0]
    curve = pl.DataFrame({"step": range(1, 101), "fve": [0.5] * 80 + [0.6] * 10 + [0.63] * 10})
    assert late_rise(replace(run, training=curve)) == pytest.approx(0.03)
    assert late_rise(replace(run, training=curve.tail(5))) is None
    assert late_rise(replace(run, training=None)) is None


def test_level_curves_are_told_from_rising_ones(planted: Written, tmp_path: Path) -> None:
    rises = {name: tree["training"]["late_rise"]["mean"] for name, tree in planted.metrics["dictionaries"].items()}
    assert max(rises.values()) < SETTLED
    assert told(planted.page).startswith("Yes, by their curves")
    config = make_config(planted=False, seeds=(0,), names=("crosscoder-l1", "chat-sae"))
    root = write_study(tmp_path, config)
    edit(root / "dictionaries/chat-sae-seed0/training.parquet", lambda t: t.with_columns(fve=pl.col("step") / 100))
    text = told(report(root, config).page)
    assert text.startswith("Not wholly")
    assert "still rose in chat-sae by 0.040" in text
    assert "Level by then (a rise of at most 0.005): crosscoder-l1 by" in text


def test_a_quantity_that_is_0_throughout_is_a_sentence(tmp_path: Path) -> None:
    config = make_config(planted=False, seeds=(0,), names=("chat-sae",))
    root = write_study(tmp_path, config)
    edit(root / "dictionaries/chat-sae-seed0/training.parquet", lambda t: t.with_columns(dead=pl.lit(0.0)))
    assert [figure.name for figure in training(collect(config, root))] == ["training-fve", "training-l0"]
    assert "No latent was silent for the 10,000,000 tokens" in told(report(root, config).page)
