"""Every seed beside the others: one panel a number, one point a seed."""

from collections.abc import Iterator
from typing import Any

import altair as alt

from crossdiff.report.collect import Dictionary, Study
from crossdiff.report.figures.theme import CHAT, FAINT, INK, Figure, data
from crossdiff.report.seeds import Leaf, Tree, ends, mean

SHOWN = {
    "fve/pooled": "FVE",
    "chat_specific": "chat-specific latents by ν",
    "behaviours_found/remove": "answers shifted, by removal",
    "behaviours_found/add": "answers shifted, by addition",
}
"""Numbers of one seed that a reader would ask another seed about, by their place under a dictionary."""


def spread(study: Study, metrics: Tree) -> list[Figure]:
    """One figure a number that at least one dictionary has."""
    found = []
    for key, title in SHOWN.items():
        if rows := [row for item in study.dictionaries for row in values(item, metrics, key)]:
            found.append(panel(study, key, title, rows))
    return found


def values(item: Dictionary, metrics: Tree, key: str) -> Iterator[dict[str, Any]]:
    """Rows of a panel: dictionary, seed, value, and the interval over seeds."""
    tree = metrics["dictionaries"][item.name]
    rule = "reconstruction_and_error" if item.two_sided else "activation_0.3"
    path = [key, rule] if key == "chat_specific" else key.split("/")
    every = at(tree, path)
    for seed, one in tree["seeds"].items():
        value = at(one, path)
        if value is not None and every is not None:
            low, high = ends(every)
            yield {"dictionary": item.name, "seed": seed, "value": mean(value), "low": low, "high": high}


def at(tree: Tree, path: list[str]) -> Leaf | None:
    """The leaf at a path; None if there is none."""
    node: Any = tree
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node


def panel(study: Study, key: str, title: str, rows: list[dict[str, Any]]) -> Figure:
    """One panel."""
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("dictionary:N", sort=study.names, axis=alt.Axis(title=None, labelColor=INK, labelLimit=200))
    )
    axis = alt.Axis(title=None, tickCount=5, format=",.4~r")
    x = alt.X("value:Q", axis=axis, scale=alt.Scale(zero=key != "fve/pooled"))
    layers = [
        base.mark_rule(color=FAINT, strokeWidth=2).encode(x=alt.X("low:Q", axis=axis), x2="high:Q"),
        base.mark_point(filled=True, size=55, opacity=0.85, color=CHAT).encode(x=x),
    ]
    return Figure(
        name="seeds-" + key.replace("/", "-").replace("_", "-"),
        title=title[0].upper() + title[1:],
        chart=alt.layer(*layers).properties(width=250, height=alt.Step(30)),
        text=f"{title[0].upper() + title[1:]}: a point each seed; the line is the 95 % interval of their mean.",
        files=(f"metrics.json#/dictionaries/*/seeds/*/{key}",),
    )
