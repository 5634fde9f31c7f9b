"""Addresses FILE#KEY of what a study's page shows, and what they name in JSON and in figures. Pure.

A file is relative to results/<pair>. A key of JSON is a pointer or dotted names, through lists by their index; a key of
a table is that of `crossdiff.provenance.cells`. What a figure is drawn from is addressed likewise, and kept in the
figure's own specification under ``usermeta``; there a pointer into metrics.json may hold * for any name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from crossdiff.errors import UserError
from crossdiff.provenance import origins
from crossdiff.provenance.origins import LEAF, METRICS, Origins, Source, names, pointer

FIGURES = "report/figures"
SPECIFICATION = ".vl.json"


def split(address: str) -> tuple[str, str]:
    """File and key of an address; no key where it is a whole file."""
    file, _, key = address.partition("#")
    return file, key


def of_columns(file: str, *columns: str) -> str:
    """The address of whole columns of a table."""
    return f"{file}#{', '.join(columns)}"


def figure_of(file: str) -> str | None:
    """The specification of the figure that a file is a form of (drawing, data); None of another file."""
    path = PurePosixPath(file)
    return f"{FIGURES}/{path.name.split('.')[0]}{SPECIFICATION}" if str(path.parent) == FIGURES else None


def specification(figure: str) -> str:
    """Where the specification of the figure of this name lies."""
    return f"{FIGURES}/{figure}{SPECIFICATION}"


def opened(node: Any) -> Any:
    """JSON with lists as mappings of their indices, so that a key may lead through them."""
    if isinstance(node, list):
        node = {str(number): item for number, item in enumerate(node)}
    return {name: opened(item) for name, item in node.items()} if isinstance(node, Mapping) else node


def found(tree: Mapping[str, Any], key: str, file: str) -> tuple[str, Any]:
    """Pointer and value of a key in what `opened` gives; UserError names what there is instead."""
    try:
        return origins.found(tree, key)
    except UserError:
        there = ", ".join(origins.near(tree, key)) or "nothing below it"
        raise UserError(f"{file} has nothing at {key}; it has {there}") from None


def sources(addresses: Iterable[str], metrics: Mapping[str, Any], known: Origins) -> tuple[Source, ...]:
    """The files and keys that addresses stand for, once each: a number of metrics.json by those it is made of."""
    every: list[Source] = []
    for file, key in map(split, addresses):
        if file == METRICS:
            every += [source for pointer in below(metrics, key) for source in known.of(pointer)]
        else:
            every.append(Source(file, key))
    return tuple(dict.fromkeys(every))


def below(tree: Mapping[str, Any], pattern: str) -> Iterator[str]:
    """Pointers of the numbers at or below a pointer, in which * stands for any name."""
    yield from _below(tree, names(pattern), "")


def _below(tree: Mapping[str, Any], wanted: Sequence[str], above: str) -> Iterator[str]:
    for name, node in tree.items():
        if wanted and wanted[0] not in ("*", name):
            continue
        here = above + pointer(name)
        if isinstance(node, Mapping) and set(node) != LEAF:
            yield from _below(node, wanted[1:], here)
        elif len(wanted) <= 1:
            yield here
