"""How many latents lie at each Δ_norm, and close up those near 1."""

import altair as alt
import polars as pl

from crossdiff.report.collect import Dictionary
from crossdiff.report.figures.panels import bars, histogram, title
from crossdiff.report.figures.theme import CLASS_COLOURS, INK, Figure
from crossdiff.report.latents import alive, chat_specific


def delta_norm(dictionary: Dictionary) -> Figure:
    """How many latents lie at each Δ_norm, coloured by class; in ink those that ν calls chat-specific."""
    run = dictionary.runs[0]
    live = run.latents.filter(alive)
    passing = "chat-specific by ν"
    kinds = [*CLASS_COLOURS, passing]
    rows = pl.concat(
        [
            histogram(group["delta_norm"], 0, 1, 50).with_columns(kind=pl.lit(kind))
            for kind, group in [
                *((name, live.filter(pl.col("class") == name)) for name in CLASS_COLOURS),
                (passing, live.filter(chat_specific(True))),
            ]
        ]
    )
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=kinds, range=[*CLASS_COLOURS.values(), INK]), legend=alt.Legend(title=None)
    )
    chart = bars(rows).encode(
        x=alt.X(
            "left:Q",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(
                title="Δ_norm   (0 base only · ½ shared · 1 chat only)",
                values=[0, 0.1, 0.4, 0.5, 0.6, 0.9, 1],
                format="~g",
            ),
        ),
        x2="right:Q",
        color=colour,
    )
    return Figure(
        name=f"delta-norm-{dictionary.name}",
        title=title(dictionary, run),
        chart=chart,
        text=f"Histogram of Δ_norm over {live.height:,} live latents of {dictionary.name}, {passing}: "
        f"{live.filter(chat_specific(True)).height:,}.",
        files=(f"latents/{run.folder}.parquet",),
    )
