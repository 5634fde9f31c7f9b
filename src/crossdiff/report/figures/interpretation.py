"""Accuracy of explanations by quarter of ν and of Δ_norm, beside what the scorer's share of yes gives by chance."""

from collections.abc import Iterator
from typing import Any

import altair as alt

from crossdiff.report.figures.theme import BASE, CHAT, Figure, data, present
from crossdiff.report.interpretation import BINS
from crossdiff.report.seeds import Tree, ends, mean

SILENT = ("random", "similar")
TITLES = {"by_nu": "quarter by ν, 1 the most chat-specific", "by_delta": "quarter by Δ_norm, 4 the most chat-only"}


def accuracy(metrics: Tree) -> list[Figure]:
    """One figure a dictionary and order."""
    return [
        panel(name, key, rows)
        for name, tree in metrics["dictionaries"].items()
        for key in BINS
        if (rows := list(values(tree.get("interpretation", {}).get(key, {}))))
    ]


def values(bins: Tree) -> Iterator[dict[str, Any]]:
    """Rows of a panel: quarter, kind of silent texts, total with its interval, chance."""
    for quarter, numbers in bins.items():
        for kind in SILENT:
            if f"total_{kind}" in numbers:
                low, high = ends(numbers[f"total_{kind}"])
                yield {
                    "quarter": quarter, "silent": f"{kind} texts", "total": mean(numbers[f"total_{kind}"]),
                    "low": low, "high": high, "chance": mean(numbers[f"chance_{kind}"]),
                }  # fmt: skip


def panel(name: str, key: str, rows: list[dict[str, Any]]) -> Figure:
    """One panel: totals with intervals, chance as dashed lines."""
    kinds = [f"{kind} texts" for kind in SILENT]
    base = alt.Chart(data(rows)).encode(
        x=alt.X("quarter:O", axis=alt.Axis(title=TITLES[key], labelAngle=0)),
        color=alt.Color(
            "silent:N",
            scale=present(dict(zip(kinds, (BASE, CHAT), strict=True)), (row["silent"] for row in rows)),
            legend=alt.Legend(title=None, symbolOpacity=1),
        ),
    )
    axis = alt.Axis(title="accuracy", format="%", tickCount=5)
    y = alt.Y("total:Q", axis=axis, scale=alt.Scale(domain=[0, 1]))
    beside = alt.XOffset("silent:N", sort=kinds)
    layers = [
        base.mark_line(strokeDash=[4, 3], strokeWidth=1.5).encode(y=alt.Y("chance:Q", axis=axis)),
        base.mark_rule(strokeWidth=2, opacity=0.55).encode(y=alt.Y("low:Q", axis=axis), y2="high:Q", xOffset=beside),
        base.mark_point(filled=True, size=55, opacity=1).encode(y=y, xOffset=beside),
    ]
    return Figure(
        name=f"interpretation-{name}-{key.replace('_', '-')}",
        title=f"{name}, {BINS[key]}",
        chart=alt.layer(*layers).properties(width=230, height=170),
        text="Accuracy of the scorer against random and similar silent texts, with 95 % intervals; dashed, what its"
        " share of yes would give whatever the texts.",
        files=(f"metrics.json#/dictionaries/{name}/interpretation/{key}",),
    )
