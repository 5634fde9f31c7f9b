"""The report of a study with a published dictionary: no curves, one run, and it says where the dictionary is from."""

import json
from pathlib import Path

import pytest
from study_files import Written, make_config, report, write_study

from crossdiff.config import Config
from crossdiff.overlay import merged
from crossdiff.parsing import parse

COMMIT = "0123456789abcdef" * 2
THEIRS = {"from": "maker/theirs", "subfolder": "small", "kind": "crosscoder"}


def imported(root: Path, names: tuple[str, ...]) -> Written:
    """The report of the made-up study in which ``crosscoder-l1`` was taken from the hub."""
    config = make_config(names=names)
    write_study(root, config)
    data = config.model_dump(mode="json")
    data["dictionaries"]["crosscoder-l1"] = THEIRS
    run = root / "dictionaries/crosscoder-l1-seed0/run.json"
    (run.parent / "training.parquet").unlink()
    origin = {"from": "maker/theirs", "commit": COMMIT, "format": "science-of-finetuning"}
    run.write_text(json.dumps(merged(json.loads(run.read_text()), {"results": {"imported": origin}})))
    return report(root, parse(Config, data))


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return imported(tmp_path_factory.mktemp("beside"), ("crosscoder-l1", "diff-sae"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return imported(tmp_path_factory.mktemp("alone"), ("crosscoder-l1",))


def test_says_where_the_dictionary_is_from(beside: Written) -> None:
    assert beside.page.count("imported from maker/theirs/small@0123456789") == 2
    assert "it was trained elsewhere, on other texts, and is one run" in beside.page
    assert "two seeds" in beside.page


def test_numbers_are_of_one_run_and_curves_of_the_trained(beside: Written) -> None:
    theirs, ours = (beside.metrics["dictionaries"][name] for name in ("crosscoder-l1", "diff-sae"))
    assert (list(theirs["seeds"]), list(ours["seeds"])) == (["0"], ["0", "1"])
    assert isinstance(theirs["l0"], float)
    assert ours["l0"]["n"] == 2
    assert ("seconds" in theirs, "seconds" in ours) == (False, True)
    assert "dictionaries/diff-sae-seed1/training.parquet" in beside.page
    assert "dictionaries/crosscoder-l1-seed0/training.parquet" not in beside.page


def test_a_study_that_trains_nothing_has_no_curves_and_counts_no_seeds(alone: Written) -> None:
    assert not list((alone.root / "report/figures").glob("training-*"))
    assert "All dictionaries are imported, one run each" in alone.page
    assert "come from two seeds" not in alone.page
