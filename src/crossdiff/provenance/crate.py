"""Describe a finished study as a Workflow Run RO-Crate, for archives and for readers who do not have its tools.

    python -m crossdiff.provenance.crate --config-json JSON --results results/<pair> --snakefile Snakefile \\
        --out results/<pair>/ro-crate-metadata.json

RO-Crate 1.1 with the profiles Process, Workflow and Provenance Run Crate 0.5
(https://www.researchobject.org/workflow-run-crate/): the workflow, each step as an action with its inputs, outputs,
settings and times, and the SHA-256 of every file. Files outside results/<pair> are named by content (`ni:` URIs,
RFC 6920). It is plain JSON, written without a library: the profile needs few kinds of entity.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdiff.cli import stage
from crossdiff.config import Config
from crossdiff.errors import UserError
from crossdiff.parsing import settings
from crossdiff.provenance.entities import Entity, document, file, outside, steps_of, whole_run, workflow
from crossdiff.provenance.files import sha256_file, whole
from crossdiff.provenance.origins import NULL, record_of
from crossdiff.workflow import CRATE, REPORT, results


def main(
    config_json: Annotated[str, typer.Option(help="The whole config: JSON, or a file.")],
    results_folder: Annotated[Path, typer.Option("--results", help="results/<pair>, with the report in it.")],
    snakefile: Annotated[Path, typer.Option(help="The workflow.")],
    out: Annotated[Path, typer.Option(help="ro-crate-metadata.json to write.")],
) -> None:
    """Write the RO-Crate of a finished study."""
    config = settings(Config, config_json)
    with whole(out) as temporary:
        temporary.write_text(json.dumps(crate(config, results_folder, snakefile), indent=1) + "\n")


def crate(config: Config, root: Path, snakefile: Path) -> dict[str, Any]:
    """The crate's JSON; UserError names a record that is missing."""
    names = [name for name in (*results(config), *REPORT) if name.endswith("run.json")]
    records = {name: read(root / name) for name in names}
    files = described(root, set(records))
    above = f"results/{root.name}/"
    known = {above + name: entity for name, entity in files.items()}
    for record in records.values():
        for path, digest in record["inputs"].items():
            known.setdefault(path, outside(path, digest))
    entities: list[Entity] = []
    for name, record in records.items():
        made = [entity for at, entity in files.items() if record_of(at) == name]
        entities += steps_of(name, record, [known[path] for path in record["inputs"]], made)
    commit = str(records["report/run.json"]["code"]["commit"])
    flow = workflow(outside(snakefile.name, sha256_file(snakefile)), commit, entities)
    run = whole_run(root.name, records, flow, entities, [files[name] for name in REPORT])
    return document(root.name, records["report/run.json"], [*known.values(), *entities, flow, *run])


def described(root: Path, records: set[str]) -> dict[str, Entity]:
    """Every file that one of the recorded steps made, by its path under ``root``; left-overs of others stay out."""
    listed = listed_shards(root)
    if f"{NULL}/activations/run.json" in records:
        listed |= listed_shards(root, f"{NULL}/")
    found = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")):
        name = path.relative_to(root).as_posix()
        if name != CRATE and record_of(name) in records:
            found[name] = file(name, path.stat().st_size, listed.get(name) or sha256_file(path))
    return found


def listed_shards(root: Path, above: str = "") -> dict[str, str]:
    """Hashes of shards that their step took when it wrote them, so that they need not be read again."""
    manifest = read(root / above / "activations/manifest.json")
    return {f"{above}activations/{shard['file']}": shard["sha256"] for shard in manifest.get("shards", [])}


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"the RO-Crate needs {path} ({error}); run the step that makes it") from None
    return found


if __name__ == "__main__":
    stage(main)
