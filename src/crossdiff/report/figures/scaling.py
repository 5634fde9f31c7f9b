"""Figures of Latent Scaling: ν_ε against ν_r of a crosscoder, ν of the activation of an SAE."""

import altair as alt
import polars as pl

from crossdiff.report.collect import Dictionary
from crossdiff.report.figures.panels import WIDTH, bars, histogram, title
from crossdiff.report.figures.theme import CHAT, INK, MUTED, OTHER, SHARED, Figure, data
from crossdiff.report.latents import NU_ACTIVATION, NU_ERROR, NU_RECONSTRUCTION, alive, chat_specific

WINDOW = (-0.2, 1.2)
"""Shown range of ν in the scatter; values outside are counted in the text."""
RANGE = (-1.0, 2.0)
"""Shown range of ν in the SAEs' histogram."""


def nu_scatter(dictionary: Dictionary) -> Figure:
    """ν_ε against ν_r: density of all live latents, the chat-only and the chat-specific ones as points."""
    run = dictionary.runs[0]
    live = run.latents.filter(alive).drop_nulls(["nu_error", "nu_reconstruction"])
    shown = live.filter(pl.all_horizontal(pl.col("nu_error", "nu_reconstruction").is_between(*WINDOW)))
    marked = shown.with_columns(specific=chat_specific(True)).filter(
        pl.col("specific") | (pl.col("class") == "chat-only")
    )
    kinds = ["chat-specific by ν", "chat-only by Δ_norm, not by ν"]
    points = marked.select(
        "nu_error", "nu_reconstruction", kind=pl.when("specific").then(pl.lit(kinds[0])).otherwise(pl.lit(kinds[1]))
    )
    x = alt.X("x:Q", scale=alt.Scale(domain=WINDOW, nice=False), axis=alt.Axis(title="ν_ε  (error)", tickCount=6))
    y = alt.Y(
        "y:Q", scale=alt.Scale(domain=WINDOW, nice=False), axis=alt.Axis(title="ν_r  (reconstruction)", tickCount=6)
    )
    density = (
        alt.Chart(data(cells(shown, 70), "all live latents"))
        .mark_rect(color=MUTED)
        .encode(
            x=x, x2="x2:Q", y=y, y2="y2:Q",
            fillOpacity=alt.FillOpacity("count:Q", scale=alt.Scale(type="log", range=[0.18, 1]), legend=None),
        )
    )  # fmt: skip
    region = (
        alt.Chart(
            data([{"x": WINDOW[0], "x2": NU_ERROR, "y": WINDOW[0], "y2": NU_RECONSTRUCTION}], "chat-specific corner")
        )
        .mark_rect(fill=CHAT, fillOpacity=0.07, stroke=CHAT, strokeDash=[4, 3], strokeWidth=1)
        .encode(x="x:Q", x2="x2:Q", y="y:Q", y2="y2:Q")
    )
    dots = (
        alt.Chart(data(points, "marked latents"))
        .mark_point(filled=True, size=26, opacity=0.9)
        .encode(
            x="nu_error:Q",
            y="nu_reconstruction:Q",
            color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[CHAT, INK]), legend=alt.Legend(title=None)),
        )
    )
    return Figure(
        name=f"nu-scatter-{dictionary.name}",
        title=title(dictionary, run),
        chart=alt.layer(density, region, dots).properties(width=WIDTH, height=300),
        text=f"ν_ε and ν_r of {live.height:,} live latents of {dictionary.name}; "
        f"{live.height - shown.height:,} lie outside the frame.",
        files=(f"latents/{run.folder}.parquet",),
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


def nu_histogram(dictionary: Dictionary) -> Figure:
    """ν of the activation for an SAE: all live latents, those with a well-posed ν, the chat-specific ones."""
    run = dictionary.runs[0]
    live = run.latents.filter(alive)
    valid = live.filter(pl.col("nu_valid").fill_null(False))
    groups = {
        "ν ill-posed (β_chat not clear of 0)": (live, OTHER),
        "ν well-posed": (valid, SHARED),
        f"chat-specific, |ν| < {NU_ACTIVATION[0]}": (live.filter(chat_specific(False)), CHAT),
    }
    rows = pl.concat(
        [
            histogram(group["nu_activation"].drop_nulls(), *RANGE, 60).with_columns(kind=pl.lit(kind))
            for kind, (group, _) in groups.items()
        ]
    )
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=list(groups), range=[colour for _, colour in groups.values()]),
        legend=alt.Legend(title=None),
    )
    chart = bars(rows).encode(
        x=alt.X(
            "left:Q",
            scale=alt.Scale(domain=RANGE, nice=False),
            axis=alt.Axis(title="ν  (activation: share of the latent found in the base model)", tickCount=7),
        ),
        x2="right:Q",
        color=colour,
    )
    outside = valid.height - valid.filter(pl.col("nu_activation").is_between(*RANGE)).height
    return Figure(
        name=f"nu-{dictionary.name}",
        title=title(dictionary, run),
        chart=chart,
        text=f"Histogram of ν over {live.height:,} live latents of {dictionary.name}, {valid.height:,} of them "
        f"well-posed; {outside:,} well-posed ones lie outside the frame.",
        files=(f"latents/{run.folder}.parquet",),
    )
