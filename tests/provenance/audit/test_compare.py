"""A comparison names what differs and nothing else."""

import json
from pathlib import Path

import pytest

from crossdiff.errors import UserError
from crossdiff.provenance.compare import lines as compared
from crossdiff.provenance.compare import side

from .finished import PAIR, put


def test_equal_studies_do_not_differ_and_changed_ones_say_where(base: Path, whole: Path) -> None:
    same = list(compared(side(str(whole / PAIR), base), side(PAIR, base), base))
    assert [line for line in same if line.endswith(": the same")] == [
        "\ninputs: the same", "\nparams: the same", "\ncode: the same", "\nnumbers: the same",
    ]  # fmt: skip
    metrics = json.loads((base / PAIR / "metrics.json").read_text())
    leaf = metrics["dictionaries"]["chat-sae"]["fve"]["pooled"]
    metrics["dictionaries"]["chat-sae"]["fve"]["pooled"] = leaf | {"mean": 9.0, "low": 8.0, "high": 10.0}
    put(base / PAIR / "metrics.json", metrics)
    record = json.loads((base / PAIR / "report/run.json").read_text())
    record["params"]["evidence"]["resamples"] = 7
    record["inputs"][f"{PAIR}/pair/pair.json"] = "0" * 64
    put(base / PAIR / "report/run.json", record)
    said = "\n".join(compared(side(str(whole / PAIR), base), side(PAIR, base), base))
    assert "numbers: 1 differ" in said
    assert "9 [8, 10]  intervals apart" in said
    assert "evidence.resamples  200 -> 7" in said
    assert "inputs: 1 differ\n  pair/pair.json" in said


def test_neither_a_folder_nor_a_commit_is_refused(base: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is neither a commit .* nor a folder with metrics"):
        side("nowhere", base)
