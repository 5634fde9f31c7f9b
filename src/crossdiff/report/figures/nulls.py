"""Margins over the nulls: how much more of the KL gap something closes than what should close nothing."""

from collections.abc import Iterator
from typing import Any

import altair as alt

from crossdiff.report import names
from crossdiff.report.collect import Study
from crossdiff.report.figures.theme import CHAT, INK, MUTED, Figure, data, intervals
from crossdiff.report.seeds import Tree, ends, mean

MARGINS = {
    "best_over_random": "latents first by ν over a random set of as many",
    "whole_over_template": "whole dictionary over template tokens alone",
    "whole_over_components": "whole dictionary over principal components",
}


def margins(study: Study, metrics: Tree) -> list[Figure]:
    """One figure a null."""
    return [panel(study, key, title, rows) for key, title in MARGINS.items() if (rows := list(values(metrics, key)))]


def values(metrics: Tree, key: str) -> Iterator[dict[str, Any]]:
    """Rows of a panel: dictionary, positions, margin and its interval."""
    for name, tree in metrics["dictionaries"].items():
        for positions, found in tree["margins"].items():
            if key in found and positions in names.MAIN_POSITIONS:
                low, high = ends(found[key])
                yield {
                    "dictionary": name, "positions": names.POSITIONS[positions],
                    "margin": mean(found[key]), "low": low, "high": high,
                }  # fmt: skip


def panel(study: Study, key: str, title: str, rows: list[dict[str, Any]]) -> Figure:
    """One panel: intervals beside zero."""
    places = list(dict.fromkeys(row["positions"] for row in rows))
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("dictionary:N", sort=study.names, axis=alt.Axis(title=None, labelColor=INK, labelLimit=200)),
        yOffset=alt.YOffset("positions:N", sort=places),
        color=alt.Color(
            "positions:N",
            scale=alt.Scale(domain=places, range=[INK, CHAT][: len(places)]),
            legend=alt.Legend(title=None, symbolOpacity=1, columns=1),
        ),
    )
    axis = alt.Axis(title="margin, share of the KL gap", format="%", tickCount=5)
    layers = [
        alt.Chart(data([{"zero": 0}])).mark_rule(color=MUTED, strokeDash=[4, 3]).encode(x=alt.X("zero:Q")),
        *intervals(base, "margin", axis),
    ]
    return Figure(
        name="nulls-" + key.replace("_", "-"),
        title=title[0].upper() + title[1:],
        chart=alt.layer(*layers).properties(width=250, height=alt.Step(15)),
        text="Difference of the KL gap closed, on paired conversations, with 95 % intervals; 0 is the null.",
        files=(f"metrics.json#/dictionaries/*/margins/*/{key}",),
    )
