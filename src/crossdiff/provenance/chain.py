"""What is behind an address of a study's page: its value, the files that is made of, the steps behind those.

`target` reads the address, `chain` gathers. `crossdiff.provenance.explain` words it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossdiff.errors import UserError
from crossdiff.provenance import addresses
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.cells import cells
from crossdiff.provenance.files import AFTER, AGAIN, read_object
from crossdiff.provenance.origins import LEAF, METRICS, Source, leaves, record_of

Values = list[tuple[str, Any]]
"""(what it is, value); the former is empty of a single value."""
LATENT = re.compile(r"latent=([\w-]+)/(\d+)/(\d+)$")
"""Address of a latent on the page, dictionary/seed/number."""
ROWS = 20
"""Rows of a table that are printed."""


@dataclass(frozen=True)
class Chain:
    """What is behind an address: its sources, and the steps behind those, the nearest first."""

    file: str
    key: str
    values: Values
    sources: tuple[Source, ...]
    steps: tuple[str, ...]
    """Records, relative to results/<pair>."""


def target(text: str) -> tuple[Path, str, str]:
    """(results/<pair>, file in it, key) of an address as the page writes it, with or without that folder before it."""
    name, key = addresses.split(text)
    path = Path(name)
    above = [folder for folder in path.parents if (folder / METRICS).is_file()]
    parts = path.parts
    if above:
        root = above[0]
    elif "results" in parts[:-2]:
        root = Path(*parts[: parts.index("results") + 2])
    else:
        root = only(path)
        path = root / path
    file, latent = path.relative_to(root).as_posix(), LATENT.match(key)
    if latent and file == "report/report.html":
        return root, "latents/{}-seed{}.parquet".format(*latent.groups()), f"latent={latent[3]}"
    return root, file, key


def only(path: Path) -> Path:
    """The study in this folder that has the file; UserError unless there is exactly one."""
    found = [
        root
        for root in sorted(Path("results").glob("*"))
        if not path.is_absolute() and (root / METRICS).is_file() and (root / path).is_file()
    ]
    if len(found) != 1:
        which = f"it is in {' and '.join(map(str, found))}" if found else f"no study in this folder has it{AFTER}"
        raise UserError(f"{path}: give results/<pair>/{METRICS}#KEY, or another file of a study; {which}")
    return found[0]


def chain(study: Study, file: str, key: str) -> Chain:
    """The chain behind an address; UserError if the file is missing or damaged, or lacks the key."""
    if file == METRICS:
        return number(study, key)
    if not (study.root / file).is_file():
        raise UserError(f"{study.name(file)} is missing{AFTER}")
    if record_of(file) not in study.expected:
        raise UserError(f"{study.name(file)}: no step of the study made it; give a file that one did")
    key, values = within(study.root / file, key)
    specification = addresses.figure_of(file)
    sources = (Source(file, key),) if specification is None else drawn_from(study, specification)
    return behind_all(study, file, key, values, sources)


def drawn_from(study: Study, specification: str) -> tuple[Source, ...]:
    """What a figure is drawn from, by its specification; UserError if that does not tell."""
    told = read_object(study.root / specification, AFTER, AGAIN).get("usermeta", {}).get("files", [])
    if not told:
        raise UserError(f"{study.name(specification)} does not tell what it is drawn from; write the report again")
    return addresses.sources(told, study.numbers, study.origins)


def number(study: Study, key: str) -> Chain:
    """The chain behind a number of metrics.json, or behind all of a part of it."""
    if not key:
        raise UserError(f"{study.name(METRICS)}: name a number in it, such as #pair.layers or #/pair/layers")
    numbers = addresses.opened(study.numbers)
    pointer, value = addresses.found(numbers, key, METRICS)
    sources = addresses.sources([f"{METRICS}#{pointer}"], numbers, study.origins) or study.origins.of(pointer)
    if not sources:
        raise UserError(f"nothing tells where {METRICS}#{pointer} comes from; write the report again")
    return behind_all(study, METRICS, pointer, every(value), sources)


def within(path: Path, key: str) -> tuple[str, Values]:
    """The key as a pointer where there is one, and what it names in a file: nothing, if no key is given."""
    if not key:
        return key, []
    if path.suffix == ".json":
        pointer, value = addresses.found(addresses.opened(read_object(path, AFTER, AGAIN)), key, str(path))
        return pointer, every(value)
    if path.suffix == ".parquet":
        table = cells(path, key)
        single = table.shape == (1, 1)
        rows = table.head(ROWS).rows(named=True)
        values = [("" if single else name, value) for row in rows for name, value in row.items()]
        return key, [*values, *([("rows", f"{ROWS} of {table.height:,} shown")] if table.height > ROWS else [])]
    raise UserError(f"{path}: there is no key in such a file; leave out what is behind the #")


def every(value: Any) -> Values:
    """A number or an interval as it is, of a part of a tree each of them."""
    return list(leaves(value)) if isinstance(value, dict) and set(value) != LEAF else [("", value)]


def behind_all(study: Study, file: str, key: str, values: Values, sources: tuple[Source, ...]) -> Chain:
    """The chain with the steps behind ``sources``."""
    return Chain(file, key, values, sources, tuple(behind(study, [source.record for source in sources])))


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
