"""docs/coverage.md names files, config fields and tests that exist."""

import json
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


def test_every_switch_names_a_config_field() -> None:
    fields = set(
        re.findall(r'"(\w+)": \{', json.dumps(json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())))
    )
    rows = [row.split("|")[1:-1] for row in TEXT.splitlines() if row.startswith("|")]
    switches = [cells for cells in rows if cells[1].strip() == "switch"]
    assert len(switches) > 5
    for cells in switches:
        named = re.findall(r"`([\w.]+)", cells[2])
        assert any(name.rpartition(".")[2] in fields for name in named), cells


def test_what_is_not_there_has_a_reason() -> None:
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in TEXT.splitlines() if row.startswith("|")]
    verdicts = {cells[1] for cells in rows if cells[0] not in ("quantity", "experiment", "variant", "---")}
    assert verdicts == {"default", "switch", "no", "default, on planted pairs"}
    assert all(cells[2] for cells in rows)
