"""Quantiles as bars: the middle half thick, 5 to 95 % thin, the median a tick; a row a group, a bar a seed."""

from typing import Any

import altair as alt
import polars as pl

from crossdiff.attribution.comparisons import QUANTILES
from crossdiff.report.figures.theme import INK, MUTED, TOP, data

NAMES = [f"q{round(100 * quantile):02}" for quantile in QUANTILES]
"""Columns of the quantiles."""


def quantiles(values: pl.Series) -> dict[str, float | None]:
    """The quantiles of some values by name, nearest value; None of no values."""
    return {name: values.quantile(at) for name, at in zip(NAMES, QUANTILES, strict=True)}


def spreads(
    rows: pl.DataFrame, colours: dict[str, str], scale: alt.Scale, axis: alt.Axis, line: str | None = None
) -> Any:
    """Rows need panel, group, seed and the quantiles; one panel below the other.

    ``line`` names a group whose ``mean`` is drawn across its panel, as what to compare the others with.
    """
    base = alt.Chart().encode(
        y=alt.Y("group:N", sort=list(colours), axis=alt.Axis(title=None, labelLimit=150)),
        yOffset="seed:N",
        color=alt.Color("group:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), legend=None),
    )
    low, first, middle, third, high = NAMES
    layers = [
        base.mark_rule(strokeWidth=1.2).encode(x=alt.X(f"{low}:Q", scale=scale, axis=axis), x2=f"{high}:Q"),
        base.mark_rule(strokeWidth=5).encode(x=alt.X(f"{first}:Q", scale=scale), x2=f"{third}:Q"),
        base.mark_tick(thickness=2, height=7).encode(x=alt.X(f"{middle}:Q", scale=scale), color=alt.value(INK)),
    ]
    if line is not None:
        across = (
            alt.Chart()
            .transform_filter(alt.datum.group == line)
            .mark_rule(color=MUTED, strokeDash=[4, 3], strokeWidth=1)
        )
        layers.insert(0, across.encode(x=alt.X("mean:Q", scale=scale), y=alt.value(0), y2=alt.value("height")))
    panel = alt.layer(*layers, data=data(rows)).properties(width=300, height=alt.Step(9))
    sort = rows["panel"].unique(maintain_order=True).to_list()
    return panel.facet(row=alt.Row("panel:N", sort=sort, header=TOP), spacing=12)
