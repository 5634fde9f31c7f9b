"""A figure as files: its specification, its drawing, and the data it draws; and what the page offers of them.

The data is taken from the specification itself, so that the table cannot say anything but what is drawn.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import vl_convert
from markupsafe import Markup

from crossdiff.provenance.addresses import specification
from crossdiff.provenance.files import whole
from crossdiff.provenance.origins import pointer
from crossdiff.report.figures.theme import VERSION, Figure
from crossdiff.report.numbers import pointed
from crossdiff.report.words import symbols

INSIDE = ("layer", "hconcat", "vconcat", "concat", "spec")
"""Where a specification holds others."""
LARGEST = 40_000
"""Longest data URI put on the page, in characters; a larger table is named instead."""


def layers(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Every set of rows that a specification draws, once each, by its name or else its number, in drawing order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, rows in _sets(spec, spec.get("datasets", {})):
        if not any(rows is other for other in found.values()):
            found[name or str(len(found) + 1)] = rows
    return found


def _sets(node: dict[str, Any], shared: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    given = node.get("data") or {}
    if "values" in given:
        yield given.get("name", ""), given["values"]
    elif "name" in given:
        yield "", shared[given["name"]]
    for key in INSIDE:
        inner = node.get(key, [])
        for part in inner if isinstance(inner, list) else [inner]:
            yield from _sets(part, shared)


def table(figure: Figure) -> pl.DataFrame:
    """What the figure draws; a figure of several sets of rows has them below each other, told apart by ``layer``."""
    frames = {name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in layers(figure.spec).items()}
    if len(frames) == 1:
        return next(iter(frames.values()))
    named = [frame.select(pl.lit(name).alias("layer"), pl.all()) for name, frame in frames.items() if frame.height]
    return pl.concat(named, how="diagonal_relaxed") if named else pl.DataFrame()


def data_uri(figure: Figure) -> str | None:
    """The table as a CSV file inside a link; None if it is too long for one."""
    uri = "data:text/csv;charset=utf-8," + quote(table(figure).write_csv(), safe=",:;()")
    return uri if len(uri) <= LARGEST else None


def caption(figure: Figure) -> Markup:
    """A figure's sentence, each count of it with its address in the figure's specification."""
    place = f"{specification(figure.name)}#{pointer('usermeta', 'counts')}"
    counts = {name: pointed(place + pointer(name), f"{count:,}") for name, count in figure.counts.items()}
    return symbols(figure.text).format(**counts)


def save(figure: Figure, folder: Path, png_scale: float | None = None) -> None:
    """Write <name>.vl.json, <name>.svg and <name>.csv under ``folder``; with ``png_scale`` also <name>.png."""
    texts = {
        "vl.json": json.dumps(figure.spec, indent=1, ensure_ascii=False) + "\n",
        "svg": figure.svg,
        "csv": table(figure).write_csv(),
    }
    for ending, text in texts.items():
        with whole(folder / f"{figure.name}.{ending}") as file:
            file.write_text(text)
    if png_scale:
        with whole(folder / f"{figure.name}.png") as file:
            file.write_bytes(vl_convert.vegalite_to_png(figure.spec, vl_version=VERSION, scale=png_scale))
