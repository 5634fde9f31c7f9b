"""Figure of the layer sweep: KL without a dictionary, by the block after which the models are joined."""

from collections.abc import Iterator
from typing import Any

import altair as alt

from crossdiff.report import names
from crossdiff.report.collect import Study
from crossdiff.report.figures.theme import BASE, CHAT, INK, MUTED, TOP, Figure, data
from crossdiff.report.seeds import Tree, ends, mean

COLOURS = {"none": INK, "template": CHAT, "chat-to-base": BASE}


def sweep(study: Study, metrics: Tree) -> Figure:
    """A line an intervention, a panel a kind of position."""
    rows = list(values(metrics))
    labels = [names.intervention(name) for name in COLOURS]
    places = [names.POSITIONS[name] for name in metrics["pair"]["kl_by_layer"]]
    x = alt.X("block:Q", axis=alt.Axis(title="block", format="d"), scale=alt.Scale(nice=False))
    y = alt.Y("kl:Q", axis=alt.Axis(title="KL, nats a token", tickCount=4), scale=alt.Scale(domainMin=0))
    colour = alt.Color(
        "label:N",
        scale=alt.Scale(domain=labels, range=list(COLOURS.values())),
        legend=alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=2, symbolOpacity=1, columns=1),
    )
    base = alt.Chart().encode(x=x, color=colour)
    layers = alt.layer(
        alt.Chart().mark_rule(color=MUTED, strokeDash=[4, 3]).encode(x=alt.XDatum(study.manifest["layer"])),
        base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(strokeWidth=1.5, point=alt.OverlayMarkDef(size=24)).encode(y=y),
        data=data(rows),
    ).properties(width=270, height=90)
    return Figure(
        name="kl-layers",
        title="KL by block",
        chart=layers.facet(row=alt.Row("positions:N", sort=places, header=TOP), spacing=10),
        text="KL to the chat model when the models are joined after each block, with 95 % intervals.",
        files=("metrics.json#/pair/kl_by_layer",),
    )


def values(metrics: Tree) -> Iterator[dict[str, Any]]:
    """Rows of the figure: positions, label, block, kl and its interval."""
    for positions, table in metrics["pair"]["kl_by_layer"].items():
        for intervention, levels in table.items():
            for block, level in levels.items():
                low, high = ends(level)
                yield {
                    "positions": names.POSITIONS[positions],
                    "label": names.intervention(intervention),
                    "block": int(block),
                    "kl": mean(level),
                    "low": low,
                    "high": high,
                }
