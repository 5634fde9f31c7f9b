"""What a break spoils: from a file to the files made of it, and to the numbers made of those. Pure."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from crossdiff.provenance.audit.finding import Break
from crossdiff.provenance.audit.study import REPORT, Study
from crossdiff.provenance.origins import METRICS, Origins, leaves, pointer, record_of


def tainted(study: Study, broken: Iterable[Break]) -> list[str]:
    """Pointers of all numbers that the breaks taint, in the order of metrics.json."""
    found = [numbers(item, study.metrics or {}, study.origins, inner(study)) for item in broken]
    return [key for key, _ in leaves(study.metrics or {}) if any(key in some for some in found)]


def inner(study: Study) -> dict[str, list[str]]:
    """Inputs of each step, those under results/<pair> relative to it."""
    return {name: [study.inside(path) or path for path in inputs] for name, inputs in study.steps.items()}


def numbers(item: Break, metrics: Mapping[str, Any], origins: Origins, steps: Mapping[str, Sequence[str]]) -> set[str]:
    """Pointers of the numbers that one break taints; a number without a known source counts as tainted.

    The report's record tells by which code and settings all of them were made.
    """
    keys = [key for key, _ in leaves(metrics)]
    if METRICS in item.files or REPORT in item.files | item.steps:
        return set(keys)
    if not (item.files or item.steps):
        return set(item.numbers)
    files, spoiled = spread(item.files, item.steps, steps)
    return set(item.numbers) | {
        key
        for key in keys
        if not (sources := origins.of(key)) or any(s.file in files or s.record in spoiled for s in sources)
    }


def spread(
    files: Iterable[str], spoiled: Iterable[str], steps: Mapping[str, Sequence[str]]
) -> tuple[set[str], set[str]]:
    """(files, records of steps) that cannot be trusted: those given, and every step that read one of them.

    The report is left out: which of its numbers read which file is known more closely. A file that no record lists,
    such as a shard that stands behind its manifest, counts as all its step's outputs.
    """
    broken, found = set(files), set(spoiled)
    read = {path for inputs in steps.values() for path in inputs}
    found |= {record_of(file) for file in broken if file not in read and not file.startswith("report/")}
    before = -1
    while before != len(found):
        before = len(found)
        found |= {
            name
            for name, inputs in steps.items()
            if name != REPORT and any(path in broken or made_by(path, steps) in found for path in inputs)
        }
    return broken, found


def made_by(path: str, steps: Container[str]) -> str | None:
    """Record of the one of the ``steps`` that made an input; None for one from outside the results."""
    record = record_of(path)
    return record if record in steps else None


def short(keys: Sequence[str], metrics: Mapping[str, Any]) -> list[str]:
    """``keys`` with each subtree that is tainted as a whole told once, as /a/b/* (n)."""
    chosen = set(keys)
    found: list[str] = []
    _shorten(metrics, "", chosen, found)
    return found


def _shorten(tree: Mapping[str, Any], above: str, chosen: set[str], found: list[str]) -> None:
    for name, node in tree.items():
        here = above + pointer(name)
        below = [here + key for key, _ in leaves(node)] if here not in chosen and isinstance(node, Mapping) else []
        if here in chosen:
            found.append(here)
        elif below and len(below) > 1 and all(key in chosen for key in below):
            found.append(f"{here}/* ({len(below)} numbers)")
        elif any(key in chosen for key in below):
            _shorten(node, here, chosen, found)
