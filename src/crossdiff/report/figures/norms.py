"""How many latents lie at each Δ_norm, and beside it those near 1 in a closer view."""

from typing import Any

import altair as alt
import polars as pl

from crossdiff.attribution.norms import CHAT_ONLY
from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary
from crossdiff.report.figures.panels import WIDTH, bars, histogram, title
from crossdiff.report.figures.theme import CLASS_COLOURS, INK, Figure, present
from crossdiff.report.latents import alive, chat_specific, rule_columns

PASSING = "chat-specific by ν"
KINDS = CLASS_COLOURS | {PASSING: INK}
CLOSE = 0.28
"""Share of the panel that the closer view takes."""


def delta_norm(dictionary: Dictionary) -> Figure:
    """How many latents lie at each Δ_norm, coloured by class; in ink those that ν calls chat-specific."""
    run = dictionary.runs[0]
    live = run.latents.filter(alive)
    ticks = [0, 0.1, 0.4, 0.5, 0.6, 0.9, 1]
    whole: Any = panel(live, 0, 50, "0 to 1", "Δ_norm   (0 base only · ½ shared · 1 chat only)", ticks)
    near = live.filter(pl.col("delta_norm") > CHAT_ONLY).height
    if near:
        close = panel(live, CHAT_ONLY, 20, "0.9 to 1", "0.9 to 1", [0.9, 0.95, 1]).properties(width=CLOSE * WIDTH)
        whole = alt.hconcat(whole.properties(width=(1 - CLOSE) * WIDTH - 20), close, spacing=20)
    return Figure(
        name=f"delta-norm-{dictionary.name}",
        title=title(dictionary, run),
        chart=whole,
        text=f"Histogram of Δ_norm over {{live}} live latents of {dictionary.name}, {PASSING}: {{passing}}. "
        + ("To the right, the {near} above 0.9 in finer steps." if near else "None lies above 0.9."),
        files=(of_columns(f"latents/{run.folder}.parquet", *rule_columns(True), "class", "delta_norm"),),
        counts={"live": live.height, "passing": live.filter(chat_specific(True)).height, "near": near},
    )


def panel(live: pl.DataFrame, low: float, bins: int, name: str, words: str, ticks: list[float]) -> alt.Chart:
    """Bars of Δ_norm from ``low`` to 1, by class, and over them those that pass ν."""
    groups = {kind: live.filter(pl.col("class") == kind) for kind in CLASS_COLOURS}
    groups[PASSING] = live.filter(chat_specific(True))
    rows = pl.concat(
        [histogram(group["delta_norm"], low, 1, bins).with_columns(kind=pl.lit(kind)) for kind, group in groups.items()]
    )
    return bars(rows, name).encode(
        x=alt.X(
            "left:Q",
            scale=alt.Scale(domain=[low, 1], nice=False),
            axis=alt.Axis(title=words, values=ticks, format="~g"),
        ),
        x2="right:Q",
        color=alt.Color("kind:N", scale=present(KINDS, rows["kind"]), legend=alt.Legend(title=None, columns=3)),
    )
