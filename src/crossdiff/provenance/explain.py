"""Where one number came from: value, files, steps, settings, inputs back to models and corpus, commit, MLflow run.

`chain` gathers it, `lines` words it. Reads results/<pair> and, for the command and a changed source, Snakemake's record
and git.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossdiff.errors import UserError
from crossdiff.provenance.audit.code import first, known
from crossdiff.provenance.audit.jobs import jobs
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import LEAF, METRICS, Source, found, leaves, recompute, record_of


@dataclass(frozen=True)
class Chain:
    """What is behind a number: its sources, and the steps behind those, the nearest first."""

    pointer: str
    value: Any
    sources: tuple[Source, ...]
    steps: tuple[str, ...]
    """Records, relative to results/<pair>."""


def target(text: str) -> tuple[Path, str]:
    """(results/<pair>, key) of results/<pair>/metrics.json#KEY, as the page and its popovers write it."""
    file, _, key = text.partition("#")
    path = Path(file)
    if not key or path.name != METRICS:
        raise UserError(f"{text}: give results/<pair>/{METRICS}#KEY, such as #pair.layers or #/pair/layers")
    return path.parent, key


def chain(study: Study, key: str) -> Chain:
    """The chain behind ``key``; UserError if metrics.json is damaged or lacks it, or nothing tells its sources."""
    pointer, value = found(study.numbers, key)
    if isinstance(value, dict) and set(value) != LEAF:
        inside = [pointer + at for at, _ in leaves(value)]
        raise UserError(f"{METRICS}#{pointer} holds {len(inside)} numbers; name one of them, such as #{inside[0]}")
    sources = study.origins.of(pointer)
    if not sources:
        raise UserError(f"nothing tells where {METRICS}#{pointer} comes from; write the report again")
    return Chain(pointer, value, sources, tuple(behind(study, [source.record for source in sources])))


def behind(study: Study, records: list[str]) -> list[str]:
    """Records of the steps behind ``records``, themselves included, each once and before what it read."""
    makers = {study.name(output): record for output, record in outputs(study).items()}
    order: dict[str, None] = {}
    todo = list(dict.fromkeys(records))
    while todo:
        record = todo.pop(0)
        order.pop(record, None)
        order[record] = None
        todo += [maker for path in study.steps.get(record, []) if (maker := makers.get(path)) not in (None, record)]
    return list(order)


def outputs(study: Study) -> dict[str, str]:
    """Record of the step that made each input that lies under results/<pair>, be it missing or damaged."""
    read = {path for inputs in study.steps.values() for path in inputs}
    inside = [file for path in read if (file := study.inside(path))]
    return {file: record for file in inside if (record := record_of(file)) in study.expected}


def lines(study: Study, told: Chain) -> Iterator[str]:
    """The chain in words."""
    yield f"{METRICS}#{told.pointer}"
    yield f"value      {worded(told.value)}"
    yield f"kept in    {study.name(METRICS)}  sha256 {study.hashes.sha256(study.root / METRICS)}"
    for source in told.sources:
        digest = study.hashes.sha256(study.root / source.file) or "missing"
        yield f"made of    {study.name(source.file)}  {source.key}  sha256 {digest}"
    commands = {job.output: job for job in jobs(study.base, study.name("")).values()}
    for name in told.steps:
        yield from step(study, name, next((j for at, j in commands.items() if at == study.name(name)), None))
    yield f"\nagain      {recompute(f'results/{study.pair}', told.sources)}"
    yield f"check      crossdiff audit results/{study.pair}"


def worded(value: Any) -> str:
    """A number, or a mean with its 95 % interval."""
    if isinstance(value, dict):
        return f"{value['mean']}  (95 % interval {value['low']} to {value['high']}, n = {value['n']})"
    return str(value)


def step(study: Study, name: str, job: Any) -> Iterator[str]:
    """One step: command, settings, inputs, commit, versions, MLflow run."""
    record = study.records.get(name)
    yield f"\nstep       {first({name})}  ({study.name(name)})"
    if record is None:
        yield "           its record is missing or damaged"
        return
    yield f"ran        {record['started']}, {record['seconds']} s, {record.get('threads') or 'no'} torch threads"
    if job:
        yield f"command    {job.command}"
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
