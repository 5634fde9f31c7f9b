"""How well explanations of latents predict, for the report: numbers for metrics.json. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from crossdiff.evidence.interpretation.sampling import SILENT
from crossdiff.evidence.intervals import interval
from crossdiff.report.collect import Dictionary, Study
from crossdiff.report.latents import rank
from crossdiff.report.seeds import Tree, plain

BINS = {"by_nu": "by ν, the most chat-specific first", "by_delta": "by Δ_norm, the most chat-only last"}
COUNTS = ("latents", "texts", "judged", "malformed")
RESAMPLES = 2000
FEWEST = 3
"""Latents below which a line through them fits whatever they are."""


def record(study: Study, item: Dictionary) -> str | None:
    """Path of the record of a dictionary's interpretation; None where the study has none."""
    asked = study.config.evidence.interpretation
    return f"evidence/interpretation/{item.runs[0].folder}.run.json" if asked else None


def interpretation(study: Study, item: Dictionary) -> Tree | None:
    """Accuracies with intervals: over all judged latents, and by quarter; None where the study has none.

    {latents, texts, judged, malformed, overall: number -> leaf, by_nu, by_delta: quarter -> number -> leaf}
    """
    path = record(study, item)
    if path is None:
        return None
    results: Mapping[str, Any] = study.records[path]["results"]
    bins = {
        name: {quarter: leaves(numbers) for quarter, numbers in results[name].items()} for name in BINS if results[name]
    }
    counts: Tree = {name: results[name] for name in COUNTS}
    return counts | {"overall": leaves(results["overall"]), "r2": fits(item)} | bins


def judged(item: Dictionary) -> pl.DataFrame:
    """One row a judged latent: ``total_random``, ``total_similar`` (null where not judged), ``delta_norm`` of a
    crosscoder, and ``nu``: the share of live latents that come before it by ν, 0 the most chat-specific.
    """
    run = item.runs[0]
    assert run.explained is not None
    ordered = rank(item, run.latents).drop_nulls("order").with_row_index("place")
    known = ordered.select(
        pl.col("latent").cast(pl.UInt32),
        nu=pl.col("place") / pl.len(),
        **({"delta_norm": pl.col("delta_norm")} if item.two_sided else {}),
    )
    totals = run.explained.select("latent", *(f"total_{kind}" for kind in SILENT))
    return known.join(totals, on="latent", how="inner", maintain_order="left")


def fits(item: Dictionary) -> Tree:
    """R² of a line through the latents' accuracies, {nu, delta_norm: {random, similar: leaf}}; latents are resampled.

    Left out where fewer than three latents were judged, or all alike.
    """
    table = judged(item)
    out: Tree = {}
    for place in ("nu", "delta_norm"):
        for kind in SILENT:
            if place in table.columns:
                x, y = table.select(place, f"total_{kind}").drop_nulls()
                if len(x) >= FEWEST and x.n_unique() > 1 and y.n_unique() > 1:
                    out.setdefault(place, {})[kind] = plain(
                        squared(interval(correlation, (x.to_numpy(), y.to_numpy()), RESAMPLES, 0))
                    )
    return out


def correlation(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """Pearson correlation along ``axis``; 0 where one of both does not vary: no line says anything then."""
    x, y = x - x.mean(axis, keepdims=True), y - y.mean(axis, keepdims=True)
    spread = (x * x).sum(axis) * (y * y).sum(axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, (x * y).sum(axis) / np.sqrt(spread), 0.0)


def squared(number: Mapping[str, float]) -> dict[str, float]:
    """R² of a correlation and its interval: from 0 on where that holds 0, which squares of resamples never reach."""
    ends = sorted(number[end] ** 2 for end in ("low", "high"))
    low = 0.0 if number["low"] <= 0 <= number["high"] else ends[0]
    return {**number, "mean": number["mean"] ** 2, "low": low, "high": ends[1]}


def leaves(numbers: Mapping[str, dict[str, float]]) -> Tree:
    """Intervals as leaves."""
    return {name: plain(interval) for name, interval in numbers.items()}
