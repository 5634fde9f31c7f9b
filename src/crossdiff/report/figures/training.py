"""Training curves, one panel a quantity, one colour a dictionary, one line a seed."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Study
from crossdiff.report.figures.theme import Figure, by_dictionary, data

CURVES = {"fve": "FVE, both models pooled", "l0": "L0, active latents a token", "dead": "dead latents"}
POINTS = 200
"""Points kept of a curve."""


def training(study: Study) -> list[Figure]:
    """One figure a quantity that all curves have and some is not 0 throughout; none if nothing was trained."""
    curves = [run.training for item in study.dictionaries for run in item.runs if run.training is not None]
    return [
        curve(study, column)
        for column in CURVES
        if curves and all(column in table for table in curves) and any((table[column] != 0).any() for table in curves)
    ]


def curve(study: Study, column: str) -> Figure:
    """One quantity of all trained dictionaries over the steps."""
    rows = pl.concat(
        [
            thinned(run.training.select("step", value=pl.col(column).cast(pl.Float64)).drop_nulls()).with_columns(
                dictionary=pl.lit(item.name), seed=pl.lit(run.seed)
            )
            for item in study.dictionaries
            for run in item.runs
            if run.training is not None
        ]
    )
    fixed = {"fve": alt.Scale(domain=[0, 1], clamp=True), "dead": alt.Scale(domain=[0, 1])}
    chart = (
        alt.Chart(data(rows))
        .mark_line(strokeWidth=1.5, clip=True)
        .encode(
            x=alt.X("step:Q", axis=alt.Axis(title="training step", tickCount=5), scale=alt.Scale(nice=False)),
            y=alt.Y(
                "value:Q",
                axis=alt.Axis(title=CURVES[column], tickCount=5, format="%" if column == "dead" else ",~f"),
                scale=fixed.get(column, alt.Scale(zero=True)),
            ),
            color=by_dictionary(rows["dictionary"].unique(maintain_order=True).to_list(), study.names),
            detail="seed:N",
        )
        .properties(width=270, height=170)
    )
    return Figure(
        name=f"training-{column}",
        title=CURVES[column],
        chart=chart,
        text=f"{CURVES[column]} during training of each dictionary and seed.",
        files=tuple(
            of_columns(f"dictionaries/{run.folder}/training.parquet", "step", column)
            for item in study.dictionaries
            for run in item.runs
            if run.training is not None
        ),
    )


def thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """At most about ``POINTS`` rows, evenly spaced, the last one included."""
    every = -(-rows.height // POINTS) or 1
    return pl.concat([rows.gather_every(every), rows.tail(1)]).unique("step", maintain_order=True)
