"""How much of what only the chat model has each criterion finds, by effect size and by frequency."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.figures.theme import CHAT, INK, SHARED, TOP, Figure, data, present
from crossdiff.report.synthetic import CRITERIA, buckets

COLOURS = dict(zip(CRITERIA.values(), (SHARED, CHAT, INK), strict=True))
READ = ("world", "side", "criterion", "score", "class", "bucket", "value")
EXCLUSIVE = ("chat-only", "child-new")


def synthetic(scores: pl.DataFrame) -> list[Figure]:
    """By effect size, and by frequency."""
    return [
        found(buckets(scores, "effect", EXCLUSIVE), "effect", "magnitude, over that of a shared factor"),
        found(buckets(scores, "decile", None), "frequency", "decile of frequency, 1 the rarest"),
    ]


def found(rows: pl.DataFrame, by: str, axis: str) -> Figure:
    """Share found against ``at``, a panel a dictionary, a colour a criterion."""
    named = rows.with_columns(pl.col("criterion").replace(CRITERIA))
    chart = (
        alt.Chart(data(named))
        .mark_line(strokeWidth=1.5, point=alt.OverlayMarkDef(size=30))
        .encode(
            x=alt.X("at:O", axis=alt.Axis(title=axis, labelAngle=0, format="~g")),
            y=alt.Y(
                "value:Q",
                axis=alt.Axis(title="share found", tickCount=4, format="%"),
                scale=alt.Scale(domain=[0, 1]),
            ),
            color=alt.Color(
                "criterion:N",
                scale=present(COLOURS, named["criterion"]),
                legend=alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=2),
            ),
            row=alt.Row("dictionary:N", header=TOP, sort=rows["dictionary"].unique(maintain_order=True).to_list()),
        )
        .properties(width=270, height=70)
    )
    return Figure(
        name=f"synthetic-{by}",
        title=f"Found, by {'effect size' if by == 'effect' else by}",
        chart=chart,
        text=f"Share of the chat model's own factors that each criterion finds, by {axis}; mean over seeds.",
        files=tuple(
            of_columns(f"truth/synthetic/{name}/scores.parquet", *READ)
            for name in rows["dictionary"].unique(maintain_order=True)
        ),
    )
