"""Latent tables whose answer is known: of the null tune, and of both worlds of the synthetic benchmark."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossdiff.errors import UserError
from crossdiff.evidence.calls.calling import Called, call
from crossdiff.evidence.calls.criteria import CRITERIA, Latents, fixed
from crossdiff.evidence.calls.honesty import Check, held_out
from crossdiff.tables import read_table

SYNTHETIC, REAL = "synthetic", "real"
"""Sources of null latents: the benchmark of known factors, and the study's null tune."""
TRUTH = "true_class"
"""Column with the class of the factor that a latent of the synthetic pair follows; "none" where it follows none."""
NEEDED = ("dead", "frequency", "active_blocks", "nu_valid")


@dataclass(frozen=True, eq=False)
class Known:
    """One source of latents whose answer is known."""

    name: str
    null: dict[int, Latents]
    """Seed -> latents of a dictionary trained on a null pair."""
    pair: dict[int, Latents] = field(default_factory=dict)
    """Seed -> latents of one trained on a pair with known factors."""
    truth: dict[int, np.ndarray] = field(default_factory=dict)
    """Seed -> class of each of those latents [F] of str, "" where it follows no factor."""


def columns(table: pl.DataFrame, path: Path) -> Latents:
    """The latent table as named arrays; UserError if it was measured without what calls need."""
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise UserError(f"{path} has no {', '.join(missing)}: it is older than the calls; run attribution on it again")
    out = {}
    for name in table.columns:
        series = table[name]
        if series.dtype.is_numeric() or series.dtype == pl.Boolean:
            filled = series.fill_null(False) if series.dtype == pl.Boolean else series
            out[name] = filled.to_numpy()
    return out


def read(null: Sequence[Path], synthetic: Path | None, dictionary: str) -> list[Known]:
    """All sources: the synthetic benchmark first, then the null tune, of which ``null`` are the tables of each seed."""
    tables: dict[int, Latents] = {}
    for path in null:
        seed = re.fullmatch(rf"{re.escape(dictionary)}-seed(\d+)", path.stem)
        if seed is None:
            raise UserError(f"--null {path}: not a latent table of {dictionary}; give {dictionary}-seedN.parquet")
        tables[int(seed[1])] = columns(read_table(path), path)
    return [*([of_synthetic(synthetic, dictionary)] if synthetic else []), *([Known(REAL, tables)] if tables else [])]


def of_synthetic(path: Path, dictionary: str) -> Known:
    """Both worlds of one dictionary in the synthetic benchmark."""
    table = read_table(path, ("dictionary", "world", "seed", TRUTH))
    mine = table.filter(pl.col("dictionary") == dictionary)
    null, pair = (mine.filter(pl.col("world") == world) for world in ("null", "pair"))
    if null.is_empty():
        there = ", ".join(sorted(table["dictionary"].unique()))
        raise UserError(
            f"{path} holds no null latents of {dictionary} (it holds {there}); make the synthetic benchmark again,"
            " or set calibration.synthetic: false"
        )

    def by_seed(part: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
        for (seed,), rows in part.group_by("seed", maintain_order=True):
            yield int(str(seed)), rows

    return Known(
        SYNTHETIC,
        {seed: columns(rows, path) for seed, rows in by_seed(null)},
        {seed: columns(rows, path) for seed, rows in by_seed(pair)},
        {
            seed: rows[TRUTH].fill_null("none").replace("none", "").to_numpy().astype(object)
            for seed, rows in by_seed(pair)
        },
    )


def called(latents: Latents, sources: Sequence[Known], kind: str, q: float) -> list[Called]:
    """The latents' calls at false discovery rate ``q`` calibrated on each source by itself, in the order of `read`; one
    without any calls if there is no source.

    The nulls are not pooled: latents of both together are exchangeable with those of neither.
    """
    return [call(latents, list(source.null.values()), kind, q) for source in sources] or [call(latents, [], kind, q)]


def compared(pair: Sequence[Latents], sources: Sequence[Known], kind: str, q: float) -> list[dict[str, Any]]:
    """How many latents each criterion names on the pair and on the null tune: {criterion, call, pair, null}, lists over
    seeds; empty without a null tune.

    Thresholds of the literature, and calls on the synthetic null at ``q``. A count that the null tune reaches too says
    nothing about what sets the pair apart.
    """
    known = {source.name: list(source.null.values()) for source in sources}
    if REAL not in known:
        return []
    tables = {"pair": list(pair), "null": known[REAL]}
    out = [
        {"criterion": criterion, "call": what}
        | {side: [int(fixed(table, kind)[criterion, what].sum()) for table in tables[side]] for side in tables}
        for criterion, what in fixed(pair[0], kind)
    ]
    if SYNTHETIC in known:
        called = {side: [call(table, known[SYNTHETIC], kind, q).call for table in tables[side]] for side in tables}
        out += [
            {"criterion": f"calibrated on the {SYNTHETIC} null", "call": criterion.call}
            | {side: [int((given == criterion.call).sum()) for given in called[side]] for side in tables}
            for criterion in CRITERIA[kind]
        ]
    return out


def checks(sources: Sequence[Known], kind: str) -> list[dict[str, Any]]:
    """Observed beside nominal false discovery rate of each source and criterion: lists over held-out seeds.

    Each source is calibrated on its own other seeds, where it has several; each null also on the other source's, which
    tells whether that one could stand in.
    """
    out: list[dict[str, Any]] = []
    for source in sources:
        out += grouped(f"{source.name} null", held_out(source.null, source.null, kind, None))
        if source.pair:
            out += grouped(f"{source.name} pair", held_out(source.pair, source.null, kind, source.truth))
    for source, other in product(sources, sources):
        if source is not other:
            strangers: Mapping[Any, Latents] = {(other.name, seed): table for seed, table in other.null.items()}
            found = (check for check in held_out(source.null, strangers, kind, None) if check.nominal is not None)
            out += grouped(f"{source.name} null, calibrated on {other.name}", found)
    return out


def grouped(source: str, found: Iterator[Check]) -> list[dict[str, Any]]:
    """One entry a criterion, call and nominal rate, with a list over seeds for what was seen."""
    out: dict[tuple[Any, ...], dict[str, Any]] = {}
    for check in found:
        key = (check.criterion, check.call, check.nominal)
        entry = out.setdefault(key, {"source": source, "criterion": check.criterion, "call": check.call})
        entry["nominal"] = check.nominal
        for name, value in asdict(check).items():
            if name in ("seed", "called", "observed", "recall", "unmatched"):
                entry.setdefault(name, []).append(None if value != value else value)
    return list(out.values())
