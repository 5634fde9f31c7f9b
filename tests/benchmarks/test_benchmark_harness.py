"""Rounds, ratios, the table, the file and the page."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import harness, tables
from benchmarks.harness import Row


def test_subjects_take_turns_and_warm_up() -> None:
    seen: list[str] = []
    work = {name: (lambda name=name: seen.append(name)) for name in ("a", "b", "c")}
    taken = harness.alternate(work, rounds=2, clock=harness.Clock(), warmup=1)
    assert seen == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert {name: len(rounds) for name, rounds in taken.items()} == {"a": 2, "b": 2, "c": 2}


def test_rates_are_medians_and_ratios_are_taken_round_by_round() -> None:
    taken = {"fast": [1.0, 2.0, 4.0], "slow": [2.0, 8.0, 8.0]}
    fast, slow = harness.rate_rows("case", "speed", "x/s", 8, taken, {"fast": "slow,absent"})
    assert (fast.value, fast.low, fast.high) == (4.0, 2.0, 8.0)
    assert (fast.against, fast.ratio) == ("slow", 2.0)
    assert (slow.value, slow.against, slow.ratio) == (1.0, None, None)


def test_times_are_of_one_step() -> None:
    (row,) = harness.time_rows("case", "step", 4, {"a": [0.4]}, {})
    assert row.value == pytest.approx(100)
    assert row.unit == "ms"


def test_report_writes_rows_and_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deep" / "made.json"
    rows = [Row("case", "a", "speed", 2.0, "x/s", "b", 1.5, 1.0, 3.0), harness.absent("case", "c", "speed", "not here")]
    harness.report("made", argparse.Namespace(json=file, threads=1), rows)
    document = json.loads(file.read_text())
    assert document["rows"][0]["ratio"] == 1.5
    assert document["machine"]["cores"] >= 1
    assert document["options"] == {"threads": 1}
    printed = capsys.readouterr().out
    assert "not here" in printed
    assert "cores" in printed


def test_a_page_is_filled_in_its_section_alone(tmp_path: Path) -> None:
    file, page = tmp_path / "made.json", tmp_path / "page.md"
    harness.report("made", argparse.Namespace(json=file), [Row("case", "a", "speed", 2000.0, "x/s", "b", 1.5)])
    page.write_text("before\n<!-- made -->\nold\n<!-- /made -->\nafter\n")
    for _ in range(2):
        tables.main([str(page), str(file)])
    text = page.read_text()
    assert "old" not in text
    assert text.count("| case | a | speed | 2,000 x/s | 1.5 × b |") == 1
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    with pytest.raises(SystemExit, match="no section"):
        tables.filled("nothing", "made", "")
