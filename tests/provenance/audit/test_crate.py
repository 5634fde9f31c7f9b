"""The RO-Crate names every file that a step made, by that step, in the shapes that its profiles ask for."""

import json
from datetime import datetime
from pathlib import Path

from crossdiff.provenance.audit import crated
from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.entities import file
from crossdiff.provenance.files import sha256_file
from crossdiff.workflow import CRATE

from .finished import PAIR


def entities(base: Path) -> dict[str, dict]:
    graph = json.loads((base / PAIR / "ro-crate-metadata.json").read_text())["@graph"]
    return {entity["@id"]: entity for entity in graph}


def ids(value: object) -> set[str]:
    return {item["@id"] for item in (value if isinstance(value, list) else [value])}  # type: ignore[index]


def test_every_file_is_described_as_what_its_step_made(base: Path) -> None:
    found = entities(base)
    root = base / PAIR
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files - found.keys() == {"ro-crate-metadata.json"} - found.keys()
    assert ids(found["#run-calls/chat-sae"]["result"]) == {"calls/chat-sae.parquet", "calls/chat-sae.run.json"}
    drawn = ids(found["#run-truth/synthetic/chat-sae"]["result"])
    assert drawn == {f"truth/synthetic/chat-sae/{name}" for name in ("scores.parquet", "run.json")}
    assert "truth/answers.parquet" in ids(found["#run-truth"]["result"])


def test_no_list_of_one_no_dangling_reference_and_a_type_for_every_file(base: Path) -> None:
    found = entities(base)
    told = [value for entity in found.values() for value in entity.values()]
    assert not [value for value in told if isinstance(value, list) and len(value) < 2]
    named = {item["@id"] for value in told for item in (value if isinstance(value, list) else [value]) if is_link(item)}
    # The profiles' own addresses and the specification are outside.
    assert not {name for name in named - found.keys() if not name.startswith("https://w3id.org/ro/crate/")}
    assert all("encodingFormat" in entity for entity in found.values() if "File" in entity["@type"])


def is_link(item: object) -> bool:
    return isinstance(item, dict) and set(item) == {"@id"}


def test_a_run_tells_time_and_memory(base: Path) -> None:
    found = entities(base)
    run = found["#run-pair"]
    record = json.loads((base / PAIR / "pair/run.json").read_text())
    lasted = datetime.fromisoformat(run["endTime"]) - datetime.fromisoformat(run["startTime"])
    assert abs(lasted.total_seconds() - record["seconds"]) < 1
    assert found[run["resourceUsage"]["@id"]]["value"] == str(record["peak_bytes"])


def test_a_name_that_an_address_cannot_hold_is_found_again(base: Path) -> None:
    study = Study(base / PAIR, Hashes())
    (base / PAIR / "report/a ü.txt").write_text("x")
    graph = json.loads((base / PAIR / CRATE).read_text())
    graph["@graph"].append(file("report/a ü.txt", 1, sha256_file(base / PAIR / "report/a ü.txt")))
    (base / PAIR / CRATE).write_text(json.dumps(graph))
    assert not crated.check(study).breaks
