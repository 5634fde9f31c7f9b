"""What panels of one dictionary share: size, title, and histograms on a logarithmic axis of counts.

Such a panel shows one seed, the first of the config.
"""

import altair as alt
import polars as pl

from crossdiff.report.collect import Dictionary, Run
from crossdiff.report.figures.theme import data

WIDTH, HEIGHT = 310, 180
FLOOR = 0.7
"""Foot of the bars on a logarithmic count axis, below a count of 1."""

count_scale = alt.Scale(type="log", domainMin=FLOOR, nice=False)
count_axis = alt.Axis(title="latents", values=[10**power for power in range(7)], format="~s")


def title(dictionary: Dictionary, run: Run) -> str:
    """What a panel of one dictionary is called."""
    return f"{dictionary.name}, seed {run.seed}" if len(dictionary.runs) > 1 else dictionary.name


def histogram(values: pl.Series, low: float, high: float, bins: int) -> pl.DataFrame:
    """Counts of ``values`` in equal bins of [low, high], the upper end included: columns left, right, count > 0."""
    width = (high - low) / bins
    inside = values.filter(values.is_between(low, high))
    bin = ((inside - low) / width + 1e-9).floor().cast(pl.Int32).clip(0, bins - 1).alias("bin")
    return (
        bin.to_frame()
        .group_by("bin")
        .agg(count=pl.len())
        .sort("bin")
        .select(left=low + pl.col("bin") * width, right=low + (pl.col("bin") + 1) * width, count="count")
    )


def bars(rows: pl.DataFrame, name: str | None = None) -> alt.Chart:
    """Histogram bars on a logarithmic count axis; rows need left, right, count."""
    return (
        alt.Chart(data(rows, name))
        .mark_bar(binSpacing=1)
        .encode(
            y=alt.Y("count:Q", scale=count_scale, axis=count_axis),
            y2=alt.Y2Datum(FLOOR),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
