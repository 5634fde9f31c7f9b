"""ν_ε against ν_r of a crosscoder: where its latents lie, with the distribution of each ratio along the sides.

Of a latent's chat direction, and with the models exchanged of its base direction.
"""

from typing import Any, Literal

import altair as alt
import polars as pl

from crossdiff.attribution.specific import NU_ERROR, NU_RECONSTRUCTION
from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary
from crossdiff.report.figures.panels import histogram, title
from crossdiff.report.figures.theme import BASE, CHAT, INK, MUTED, Figure, data, present
from crossdiff.report.latents import alive, chat_specific

WINDOW = (-0.2, 1.2)
"""Shown range of ν; values outside are counted in the text."""
SIDE, MARGIN = 270, 42
"""Size of the square, and of the strips along it."""
Direction = Literal["chat", "base"]
NUS = ("nu_error", "nu_reconstruction")
ALL = "all live"


def groups(which: Direction) -> dict[str, str]:
    """Names of the marked latents of a direction, and of all, with their colours."""
    own = CHAT if which == "chat" else BASE
    return {f"{which}-specific by ν": own, f"{which}-only by Δ_norm, not by ν": INK, ALL: MUTED}


def nu_scatter(dictionary: Dictionary, which: Direction = "chat") -> Figure:
    """Density of all live latents, those of one model as points, and shares along the sides.

    ``which`` direction is looked at: how much of a latent's chat row base has, or of its base row chat.
    """
    run = dictionary.runs[0]
    live = run.latents.filter(alive)
    read = NUS if which == "chat" else tuple(f"{nu}_base" for nu in NUS)
    live = live.with_columns(pl.col(column).alias(nu) for nu, column in zip(NUS, read, strict=True))
    live = live.drop_nulls(NUS)
    shown = live.filter(pl.all_horizontal(pl.col(*NUS).is_between(*WINDOW)))
    specific, only, _ = colours = groups(which)
    points = shown.select(
        *NUS,
        group=pl.when(chat_specific(True))
        .then(pl.lit(specific))
        .when(pl.col("class") == f"{which}-only")
        .then(pl.lit(only)),
    ).drop_nulls("group")
    colour = coloured(points, colours)
    above = strip("nu_error", "ν_ε", shown, points, colour).properties(width=SIDE, height=MARGIN)
    beside = strip("nu_reconstruction", "ν_r", shown, points, colour).properties(width=MARGIN, height=SIDE)
    square = centre(shown, points, colour, colours[specific]).properties(width=SIDE, height=SIDE)
    return Figure(
        name=f"nu-scatter-{dictionary.name}" if which == "chat" else f"nu-scatter-base-{dictionary.name}",
        title=f"{title(dictionary, run)}, {which} direction",
        chart=alt.vconcat(above, alt.hconcat(square, beside, spacing=6, bounds="flush"), spacing=6, bounds="flush"),
        text=f"ν_ε and ν_r of the {which} direction of {{live}} live latents of {dictionary.name}; "
        "{outside} lie outside the frame. Along the sides, the shares of each group.",
        files=(of_columns(f"latents/{run.folder}.parquet", "dead", "class", *read),),
        counts={"live": live.height, "outside": live.height - shown.height},
    )


def coloured(points: pl.DataFrame, colours: dict[str, str]) -> alt.Color:
    """Colour of the groups that have a point, and of all live latents."""
    scale = present(colours, [ALL, *points["group"]])
    return alt.Color("group:N", scale=scale, legend=alt.Legend(title=None, symbolOpacity=1, columns=2))


def centre(shown: pl.DataFrame, points: pl.DataFrame, colour: alt.Color, own: str) -> Any:
    """The square itself; its corner has the colour of the model's ``own`` latents."""
    scale = alt.Scale(domain=WINDOW, nice=False)
    x = alt.X("x:Q", scale=scale, axis=alt.Axis(title="ν_ε  (error)", tickCount=6))
    y = alt.Y("y:Q", scale=scale, axis=alt.Axis(title="ν_r  (reconstruction)", tickCount=6))
    density = (
        alt.Chart(data(cells(shown, 70), "all live latents"))
        .mark_rect(color=MUTED)
        .encode(
            x=x, x2="x2:Q", y=y, y2="y2:Q",
            fillOpacity=alt.FillOpacity("count:Q", scale=alt.Scale(type="log", range=[0.18, 1]), legend=None),
        )
    )  # fmt: skip
    corner = [
        {
            "x": max(WINDOW[0], -NU_ERROR),
            "x2": NU_ERROR,
            "y": max(WINDOW[0], -NU_RECONSTRUCTION),
            "y2": NU_RECONSTRUCTION,
        }
    ]
    region = (
        alt.Chart(data(corner, "corner of one model's own"))
        .mark_rect(fill=own, fillOpacity=0.07, stroke=own, strokeDash=[4, 3], strokeWidth=1)
        .encode(x="x:Q", x2="x2:Q", y="y:Q", y2="y2:Q")
    )
    dots = (
        alt.Chart(data(points, "marked latents"))
        .mark_point(filled=True, size=26, opacity=0.9)
        .encode(x="nu_error:Q", y="nu_reconstruction:Q", color=colour)
    )
    return alt.layer(density, region, dots)


def strip(column: str, name: str, shown: pl.DataFrame, points: pl.DataFrame, colour: alt.Color) -> alt.Chart:
    """Histogram of one ratio along its side of the square, each group as shares of its latents in the frame."""
    marked = {str(name): part for (name,), part in points.group_by("group", maintain_order=True)}
    rows = pl.concat(
        [
            histogram(latents[column], *WINDOW, 35).select(
                "left", "right", share=pl.col("count") / latents.height, group=pl.lit(group)
            )
            for group, latents in ({ALL: shown} | marked).items()
        ]
    )
    # The strips share their long axis with the square, which shows its values.
    ends: dict[str, Any] = {"scale": alt.Scale(domain=WINDOW, nice=False), "axis": None}
    share: dict[str, Any] = {"axis": None, "stack": None}
    chart = alt.Chart(data(rows, f"marginal of {name}")).mark_bar(binSpacing=0.5, opacity=0.55)
    if column == "nu_error":
        return chart.encode(
            x=alt.X("left:Q", **ends), x2="right:Q", y=alt.Y("share:Q", **share), y2=alt.Y2Datum(0), color=colour
        )
    return chart.encode(
        y=alt.Y("left:Q", **ends), y2="right:Q", x=alt.X("share:Q", **share), x2=alt.X2Datum(0), color=colour
    )


def cells(latents: pl.DataFrame, bins: int) -> pl.DataFrame:
    """Counts of latents in square cells of (ν_ε, ν_r): columns x, x2, y, y2, count."""
    low, high = WINDOW
    side = (high - low) / bins
    index = [
        ((pl.col(column) - low) / side).floor().clip(0, bins - 1).alias(name)
        for name, column in (("i", "nu_error"), ("j", "nu_reconstruction"))
    ]
    return (
        latents.select(index)
        .group_by("i", "j")
        .agg(count=pl.len())
        .sort("i", "j")
        .select(
            x=low + pl.col("i") * side,
            x2=low + (pl.col("i") + 1) * side,
            y=low + pl.col("j") * side,
            y2=low + (pl.col("j") + 1) * side,
            count="count",
        )
    )
