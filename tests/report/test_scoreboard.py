"""The scoreboard of the planted behaviours, against plain computation and with known winners."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from study_files import BEHAVIOURS, Written, edit, make_config, write_study

from crossdiff.report.before import detection
from crossdiff.report.collect import collect
from crossdiff.report.metrics import metrics
from crossdiff.report.scoreboard import words


def rows_of(study: Written, name: str) -> list[dict[str, Any]]:
    return pl.read_parquet(study.root / name).to_dicts()


KEYS = {"behaviour", "dictionary", "called", "auroc", "effect", "control", "best_baseline"}


def entry(tree: dict[str, Any], behaviour: str, dictionary: str) -> dict[str, Any]:
    (found,) = (
        each for each in tree["behaviours"] if (each["behaviour"], each["dictionary"]) == (behaviour, dictionary)
    )
    return found


def test_one_entry_a_behaviour_and_dictionary(planted: Written) -> None:
    found = planted.metrics["behaviours"]
    assert len(found) == len(BEHAVIOURS) * len(planted.config.dictionaries)
    assert all(set(each) == KEYS for each in found)


def test_numbers_are_those_of_the_tables(planted: Written) -> None:
    found = entry(planted.metrics, BEHAVIOURS[1], "diff-sae")
    tree = planted.metrics["dictionaries"]["diff-sae"]
    assert found["effect"]["best"]["add"] == tree["effects"][BEHAVIOURS[1]]["add"]["best"]["logprob"]
    assert found["control"]["called"]["remove"] == tree["effects"][BEHAVIOURS[1]]["remove"]["called-random"]["logprob"]
    assert found["called"]["mean"] == 3
    areas = []
    for seed in planted.config.seeds:
        table = [
            row
            for row in rows_of(planted, f"evidence/diff-sae-seed{seed}/detection.parquet")
            if (row["behaviour"], row["subject"]) == (BEHAVIOURS[1], "best")
        ]
        shown, control = ([row["score"] for row in table if row["shows"] == shows] for shows in (True, False))
        areas.append(np.mean([(a > b) + 0.5 * (a == b) for a in shown for b in control]))
    assert found["auroc"]["best"]["mean"] == pytest.approx(np.mean(areas))
    assert found["auroc"]["best"]["n"] == len(table)


def test_margin_is_paired_by_prompt(planted: Written) -> None:
    def changes(folders: list[str], subject: str) -> dict[int, float]:
        out: dict[int, list[float]] = {}
        none = {
            row["prompt"]: row["logprob"]
            for row in rows_of(planted, "evidence/baselines/behaviours.parquet")
            if (row["behaviour"], row["edit"], row["subject"]) == (BEHAVIOURS[0], "add", "none")
        }
        for folder in folders:
            for row in rows_of(planted, f"evidence/{folder}/behaviours.parquet"):
                if (row["behaviour"], row["edit"], row["subject"]) == (BEHAVIOURS[0], "add", subject):
                    out.setdefault(row["prompt"], []).append(row["logprob"] - none[row["prompt"]])
        return {prompt: float(np.mean(values)) for prompt, values in out.items()}

    best = entry(planted.metrics, BEHAVIOURS[0], "crosscoder-l1")["best_baseline"]["add"]
    assert best["name"] == "mean-difference"
    own = changes([f"crosscoder-l1-seed{seed}" for seed in planted.config.seeds], "best")
    theirs = changes(["baselines"], "mean-difference")
    assert best["margin"]["mean"] == pytest.approx(np.mean([theirs[p] - own[p] for p in own]), rel=1e-5)
    assert best["margin"]["low"] > 0


def test_a_dictionary_without_calls_says_none_called(planted: Written) -> None:
    found = entry(planted.metrics, BEHAVIOURS[0], "chat-sae")
    assert found["called"]["mean"] == 0
    assert found["auroc"]["called"] is found["effect"]["called"] is found["control"]["called"] is None
    assert planted.page.count("none called") == 3 * (len(planted.config.dictionaries) - 1)


def test_a_winning_baseline_is_said_and_marked(planted: Written) -> None:
    """The mean difference is made to move most by both edits."""
    for contest in ("add", "remove"):
        text = str(words(planted.metrics, contest))
        assert "a baseline does better than every dictionary" in text
        assert "mean difference six" in text
        assert "clearly for" in text
        assert text in planted.page
    assert len(re.findall('<td class="wins">', planted.page)) >= 3 * len(BEHAVIOURS)


def test_a_winning_dictionary_is_said(tmp_path: Path) -> None:
    config = make_config(names=("diff-sae",), seeds=(0,))
    write_study(tmp_path, config)
    weak = pl.when(pl.col("subject") == "none").then("logprob").otherwise(pl.col("logprob") * 0 - 9)
    edit(tmp_path / "evidence/baselines/behaviours.parquet", lambda table: table.with_columns(weak.alias("logprob")))
    text = words(metrics(collect(config, tmp_path)), "add")
    assert "a dictionary's best latents do as well as every baseline or better for all six behaviours" in text


def test_without_calibration_nothing_could_be_called(tmp_path: Path) -> None:
    config = make_config(names=("chat-sae",), seeds=(0,))
    write_study(tmp_path, config)
    study = collect(config, tmp_path)
    study.records["evidence/chat-sae-seed0/run.json"]["results"]["called"] = None
    assert entry(metrics(study), BEHAVIOURS[0], "chat-sae")["called"] is None


def table(shown: list[float], control: list[float], threshold: float = 0.5) -> pl.DataFrame:
    scores = [*shown, *control]
    return pl.DataFrame({
        "behaviour": ["one"] * len(scores), "subject": ["best"] * len(scores),
        "shows": [True] * len(shown) + [False] * len(control), "score": scores, "chat": scores,
        "base": [0.0] * len(scores), "threshold": [threshold] * len(scores),
    })  # fmt: skip


def test_detection_of_perfect_and_silent_scores() -> None:
    found = detection([table([2.0, 3.0, 4.0], [0.0, 0.1]), table([0.0] * 3, [0.0] * 2)])["best"]["one"]
    assert found["auroc"]["mean"] == pytest.approx(0.75)
    assert found["auroc_base"]["mean"] == 0.5
    assert found["accuracy"]["mean"] == pytest.approx(0.75)
    perfect = detection([table([2.0, 3.0, 4.0], [0.0, 0.1])])["best"]["one"]
    assert perfect["auroc"]["mean"] == perfect["accuracy"]["mean"] == 1
    assert perfect["auroc"]["low"] < 0.8
    assert perfect["accuracy"]["low"] < 0.8


def test_a_threshold_out_of_reach_is_worth_a_coin_whatever_the_area() -> None:
    found = detection([table([2.0, 3.0, 4.0], [0.0, 0.1], threshold=9)])["best"]["one"]
    assert found["auroc"]["mean"] == 1
    assert found["accuracy"]["mean"] == 0.5
