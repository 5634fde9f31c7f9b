"""How often latents are active: by class, and on each source of text."""

import math

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary, Run, Study
from crossdiff.report.figures.panels import HEIGHT, WIDTH, title
from crossdiff.report.figures.spreads import quantiles, spreads
from crossdiff.report.figures.theme import CHAT, CLASS_COLOURS, SHARED, Figure, data, decades
from crossdiff.report.latents import alive, chat_specific, rule_columns

DECADE = 5
"""Bins of a factor of ten."""
PREFIX = "frequency_"


def by_class(item: Dictionary) -> Figure:
    """Histogram over decades of the frequency, each class as shares of its latents."""
    run = item.runs[0]
    live = run.latents.filter(alive)
    read = ["dead", "class"] if item.two_sided else rule_columns(False)
    groups = {name: live.filter(member) for name, member in members(item).items()}
    counts = {name: group.height for name, group in groups.items() if group.height}
    labels = {f"{name} ({count:,})": name for name, count in counts.items()}
    parts = [binned(groups[name]["frequency"]).with_columns(kind=pl.lit(label)) for label, name in labels.items()]
    rows = pl.concat(parts) if parts else pl.DataFrame(schema={"frequency": pl.Float64, "share": pl.Float64})
    colours = CLASS_COLOURS | {"chat-specific": CHAT, "not chat-specific": SHARED}
    chart = (
        alt.Chart(data(rows))
        .mark_line(interpolate="step", strokeWidth=1.8)
        .encode(
            x=alt.X(
                "frequency:Q",
                scale=alt.Scale(type="log", nice=False),
                axis=decades("share of tokens a latent is active on"),
            ),
            y=alt.Y("share:Q", axis=alt.Axis(title="share of the class", format="%", tickCount=4)),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=list(labels), range=[colours[name] for name in labels.values()]),
                legend=alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=2, columns=2),
            ),
        )
        .properties(width=WIDTH, height=HEIGHT - 40)
    )
    return Figure(
        name=f"frequency-{item.name}",
        title=title(item, run),
        chart=chart,
        text=f"How often the live latents of {item.name} are active, as shares of each class: "
        + ", ".join(f"{name} ({{{name}}})" for name in counts)
        + ".",
        files=(of_columns(f"latents/{run.folder}.parquet", *read, "frequency"),),
        counts=counts,
    )


def members(item: Dictionary) -> dict[str, pl.Expr]:
    """Masks of a dictionary's classes; an SAE has none by Δ_norm, so its latents are parted by ν."""
    if item.two_sided:
        return {name: pl.col("class") == name for name in CLASS_COLOURS}
    return {"chat-specific": chat_specific(False), "not chat-specific": ~chat_specific(False)}


def binned(frequency: pl.Series) -> pl.DataFrame:
    """Shares of the values in equal steps of their logarithm; an empty step inside has a row of 0."""
    step = (frequency.log10() * DECADE + 1e-9).floor().cast(pl.Int64).alias("step").sort()
    found = step.to_frame().group_by("step").agg(share=pl.len() / len(step))
    every = pl.DataFrame({"step": range(step[0] - 1, step[-1] + 2)})
    middle = 10 ** ((pl.col("step") + 0.5) / DECADE)
    return (
        every.join(found, on="step", how="left")
        .sort("step")
        .select(frequency=middle, share=pl.col("share").fill_null(0))
    )


def on_sources(run: Run) -> list[str]:
    """Columns of the latent table that hold the frequency on one source."""
    return [name for name in run.latents.columns if name.startswith(PREFIX)]


def by_source(study: Study) -> Figure | None:
    """Quantiles of the frequency on each source, over latents that are active there; None if none is."""
    parts = []
    for item in study.dictionaries:
        for run in item.runs:
            for column in on_sources(run):
                values = run.latents.filter(alive & (pl.col(column) > 0))[column]
                if values.len():
                    found = {"group": column.removeprefix(PREFIX), "seed": run.seed, "active": values.len()}
                    parts.append({"panel": item.name, **found, **quantiles(values)})
    if not parts:
        return None
    rows = pl.DataFrame(parts, infer_schema_length=None)
    sources = rows["group"].unique(maintain_order=True).to_list()
    low = 10.0 ** math.floor(math.log10(rows["q05"].sort()[0]))
    axis = decades("share of the source's tokens a latent is active on")
    colours = dict.fromkeys(sources, SHARED)
    return Figure(
        name="frequency-by-source",
        title="By source of text",
        chart=spreads(rows, colours, alt.Scale(type="log", domain=[low, 1], nice=False), axis),
        text="How often latents are active on each source of text, over those that are active there: 5 to 95 %, the "
        "middle half and the median, a bar each seed.",
        files=tuple(
            of_columns(f"latents/{run.folder}.parquet", "dead", *on_sources(run))
            for item in study.dictionaries
            for run in item.runs
        ),
    )
