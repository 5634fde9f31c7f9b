"""docs/coverage.md names files, config fields and tests that exist."""

import re
from pathlib import Path

import pytest

from crossdiff.workflow import LATENTS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/coverage.md").read_text()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|src)/[\w/.-]+)`", TEXT))))
def test_named_file_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


def test_named_tables_of_latents_are_results() -> None:
    named = set(re.findall(r"`L\.([\w.]+)`", TEXT))
    assert len(named) >= 4
    assert named <= set(LATENTS)


def rows() -> list[list[str]]:
    lines = (row for row in TEXT.splitlines() if row.startswith("|"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in lines]


def test_every_switch_is_a_config_field_that_a_test_of_its_row_sets() -> None:
    fields = set(re.findall(r'"(\w+)": \{', (ROOT / "workflow/schemas/config.schema.json").read_text()))
    switches = [cells for cells in rows() if cells[1] == "switch"]
    assert len(switches) > 5
    for cells in switches:
        named = {name.rpartition(".")[2] for name in re.findall(r"`([\w.]+)", cells[2])} & fields
        tests = "".join((ROOT / path).read_text() for path in re.findall(r"`(tests/[\w/.-]+)`", cells[2]))
        assert any(re.search(rf"\b{name}\b", tests) for name in named), cells


def test_what_is_not_there_has_a_reason() -> None:
    headers = ("quantity", "experiment", "variant", "disagreement", "---")
    found = [cells for cells in rows() if cells[0] not in headers]
    assert {cells[1] for cells in found} == {"default", "switch", "no", "default, on planted pairs"}
    assert all(cells[2] for cells in found)
