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


def settings() -> list[tuple[str, str, dict[str, str], list[str]]]:
    """(row, where, value by config field, tests) of every switch; a field without a value of its own has ""."""
    fields = set(re.findall(r'"(\w+)": \{', (ROOT / "workflow/schemas/config.schema.json").read_text()))
    found = []
    for name, kind, where, *_ in rows():
        named = {path.rpartition(".")[2]: value for path, value in re.findall(r"`([\w.*]+)(?:: ([^`]+))?`", where)}
        tests = re.findall(r"`(tests/[\w/.-]+)`", where)
        if kind == "switch":
            found.append((name, where, {field: named[field] for field in named if field in fields}, tests))
    return found


@pytest.mark.parametrize(("where", "fields", "tests"), [pytest.param(*row, id=name) for name, *row in settings()])
def test_every_field_of_a_switch_is_set_in_a_test_of_its_row(where: str, fields: dict, tests: list[str]) -> None:
    assert fields, f"no config field: {where}"
    assert tests, f"no test: {where}"
    text = "".join((ROOT / path).read_text() for path in tests)
    for field, value in fields.items():
        assert re.search(rf'\b{field}=(?!=)|"{field}":', text), f"{field} is neither a keyword nor a key in {tests}"
        if re.fullmatch(r"[a-z][a-z -]+", value) and value != "true":
            assert f'"{value}"' in text, f"{value}, of {field}, is not in {tests}"


def test_there_are_switches() -> None:
    assert len(settings()) > 20


def test_what_is_not_there_has_a_reason() -> None:
    headers = ("quantity", "experiment", "variant", "disagreement", "---")
    found = [cells for cells in rows() if cells[0] not in headers]
    assert {cells[1] for cells in found} == {"default", "switch", "no", "default, on planted pairs"}
    assert all(cells[2] for cells in found)
