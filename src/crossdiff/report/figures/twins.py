"""Twins of a crosscoder beside false twins: how often one is active without the other, and how often together."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary
from crossdiff.report.figures.theme import CHAT, OTHER, TOP, Figure, data

KINDS = {"twin": "twins", "false": "false twins"}
MEASURES = {
    "divergence": "activation divergence: one high, the other silent",
    "chat_given_base": "chat latent active, given the base one",
    "base_given_chat": "base latent active, given the chat one",
}
READ = ("kind", "chat", "base", "cosine", *MEASURES)


def twins(item: Dictionary) -> Figure | None:
    """A tick a pair of every seed, the mean a point; None if no seed has a pair."""
    runs = [run.twins.with_columns(seed=pl.lit(run.seed)) for run in item.runs]
    table = pl.concat(runs).select("seed", *READ)
    if not table.height:
        return None
    rows = table.unpivot(list(MEASURES), index=["kind", "seed", "chat", "base", "cosine"]).drop_nulls("value")
    named = rows.with_columns(pl.col("kind").replace(KINDS), pl.col("variable").replace(MEASURES))
    base = alt.Chart().encode(
        y=alt.Y("kind:N", sort=list(KINDS.values()), axis=alt.Axis(title=None)),
        color=alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS.values()), range=[CHAT, OTHER]), legend=None),
    )
    scale, axis = alt.Scale(domain=[0, 1]), alt.Axis(title="share of tokens", format="%", tickCount=5)
    layers = [
        base.mark_tick(thickness=1.2, height=11, opacity=0.6).encode(x=alt.X("value:Q", scale=scale, axis=axis)),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=alt.X("mean(value):Q", scale=scale)),
    ]
    panel = alt.layer(*layers, data=data(named)).properties(width=300, height=alt.Step(18))
    pairs = table.filter(pl.col("kind") == "twin").height
    return Figure(
        name=f"twins-{item.name}",
        title=item.name,
        chart=panel.facet(row=alt.Row("variable:N", sort=list(MEASURES.values()), header=TOP), spacing=12),
        text=f"{{pairs}} pairs of a chat-only and a base-only latent of {item.name} with nearly one direction, all "
        "seeds, beside as many of the same base-only latents with other chat-only ones. Points are means.",
        files=tuple(of_columns(f"latents/{run.folder}.twins.parquet", *READ) for run in item.runs),
        counts={"pairs": pairs},
    )
