"""The chain behind a number, a table's cell or a figure in words, with the commands that ran and those to run again.

Reads results/<pair> and, for the command and a changed source, Snakemake's record and git.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossdiff.errors import UserError
from crossdiff.overlay import read
from crossdiff.provenance.audit.code import first, known
from crossdiff.provenance.audit.jobs import Job, jobs
from crossdiff.provenance.audit.study import REPORT, Study
from crossdiff.provenance.chain import Chain
from crossdiff.provenance.origins import LEAF, recompute, record_of

UNKNOWN = "unknown: Snakemake's record of the step, under .snakemake/metadata, is not here; dvc pull does not bring it"


def lines(study: Study, told: Chain) -> Iterator[str]:
    """The chain in words."""
    yield f"{told.file}#{told.key}" if told.key else told.file
    for name, value in told.values:
        yield f"value      {f'{name}  ' if name else ''}{worded(value)}"
    yield f"kept in    {hashed(study, told.file)}"
    reported = record_of(told.file) == REPORT and told.file != REPORT
    if reported:
        yield f"written by {written_by(study)}"
    for source in told.sources:
        if source.file != told.file:
            yield f"made of    {hashed(study, source.file, source.key)}"
    ran = jobs(study.base, study.name(""))
    for name in told.steps:
        yield from step(study, name, ran.get(study.name(name)))
    one_step = shlex.join(["snakemake", study.name(record_of(told.file)), "--force"])
    yield f"\nagain      {recompute(f'results/{study.pair}', told.sources) if reported else one_step}{laid_over(study)}"
    yield f"check      crossdiff audit results/{study.pair}"


def laid_over(study: Study) -> str:
    """What the command needs besides for a study that config.yaml alone is not: the overlay that names its pair."""
    files = [study.base / "config.yaml", *sorted((study.base / "configs").glob("*.yaml"))]
    named = {file: pair_of(file) for file in files if file.is_file()}
    if not named or named.get(files[0]) == study.pair:
        return ""
    overlays = [str(file.relative_to(study.base)) for file, pair in named.items() if pair == study.pair]
    return f" --configfile config.yaml {shlex.quote(overlays[0]) if overlays else 'OVERLAY.yaml'}"


def pair_of(file: Path) -> Any:
    """The name that a config file gives its pair; None if it gives none, or cannot be read."""
    try:
        pair = read(file).get("pair")
    except UserError:
        return None
    return pair.get("name") if isinstance(pair, dict) else None


def hashed(study: Study, file: str, *key: str) -> str:
    """A file with what of it is meant, and its hash."""
    return "  ".join([study.name(file), *key, f"sha256 {study.hashes.sha256(study.root / file) or 'missing'}"])


def written_by(study: Study) -> str:
    """The report step, which puts numbers and figures together: its commit and run."""
    record = study.records.get(REPORT)
    if record is None:
        return f"{study.name(REPORT)}, which is missing or damaged"
    code, run = next(commit(study, record)).split(maxsplit=1)[1], (record.get("mlflow") or {}).get("run_id")
    return f"{study.name(REPORT)}  {code}  mlflow {run or 'not tracked'}"


def worded(value: Any) -> str:
    """A number, or a mean with its 95 % interval."""
    if isinstance(value, dict) and set(value) == LEAF:
        return f"{value['mean']}  (95 % interval {value['low']} to {value['high']}, n = {value['n']})"
    return str(value)


def step(study: Study, name: str, job: Job | None) -> Iterator[str]:
    """One step: command, settings, inputs, commit, versions, MLflow run."""
    record = study.records.get(name)
    yield f"\nstep       {first({name})}  ({study.name(name)})"
    if record is None:
        yield "           its record is missing or damaged"
        return
    yield f"ran        {record['started']}, {record['seconds']} s, {record.get('threads') or 'no'} torch threads"
    yield f"command    {job.command if job and job.command else UNKNOWN}"
    yield f"params     {record['params']}"
    for path, digest in record["inputs"].items():
        yield f"input      {path}  sha256 {digest}"
    yield from origin(record)
    yield from commit(study, record)
    run = record.get("mlflow") or {}
    yield f"mlflow     {run.get('run_id') or 'not tracked'}  {run.get('uri') or ''}".rstrip()


def origin(record: dict[str, Any]) -> Iterator[str]:
    """Revisions of the models, and rows of the corpus, where a step's numbers name them."""
    results = record["results"]
    for side in ("base", "chat"):
        if isinstance(model := results.get(side), dict) and "revision" in model:
            yield f"{side:<10} {model.get('source') or model.get('path')}  revision {model['revision']}"
    for split, sources in (results.get("splits") or {}).items():
        counted = [
            f"{source} {facts['rows']}"
            for source, facts in sources.items()
            if isinstance(facts, dict) and "rows" in facts
        ]
        if counted:
            yield f"rows       {split}: {', '.join(counted)}"


def commit(study: Study, record: dict[str, Any]) -> Iterator[str]:
    """The commit, and the changes on top of it with which the step ran."""
    code = record["code"]
    if code["commit"] is None:
        yield "code       of no git checkout"
        return
    there = "" if known(study.base, code["commit"]) else "  (not in this checkout)"
    yield f"code       commit {code['commit']}{' with changes' if code['dirty'] else ''}{there}"
    yield from (f"           {line}" for line in code.get("changes", "").splitlines())
