"""What part of a latent's activations on chat text falls on the template."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary
from crossdiff.report.figures.panels import WIDTH, histogram, title
from crossdiff.report.figures.theme import CHAT, OTHER, Figure, data
from crossdiff.report.latents import ON_TEMPLATE, alive, chat_specific, on_template, rule_columns


def template_share(dictionary: Dictionary) -> Figure | None:
    """Template share of chat-specific latents beside that of all live ones; None without a chat-specific one."""
    run = dictionary.runs[0]
    live = run.latents.filter(alive)
    chosen = live.filter(chat_specific(dictionary.two_sided))
    if not chosen.height:
        return None

    def shares(group: pl.DataFrame) -> pl.DataFrame:
        values = group.select(share=on_template)["share"].drop_nulls()
        return histogram(values, 0, 1, 10).with_columns(share=pl.col("count") / max(1, values.len()))

    x = alt.X(
        "left:Q",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(title="share of activations on chat text that are on the template", format="%", tickCount=5),
    )
    y = alt.Y(
        "share:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="share of latents", format="%", tickCount=4)
    )
    everything = (
        alt.Chart(data(shares(live).with_columns(kind=pl.lit(f"all live ({live.height:,})"))))
        .mark_bar(binSpacing=2)
        .encode(x=x, x2="right:Q", y=y, y2=alt.Y2Datum(0))
    )
    specific = (
        alt.Chart(
            data(
                shares(chosen)
                .with_columns(middle=(pl.col("left") + pl.col("right")) / 2)
                .with_columns(kind=pl.lit(f"chat-specific ({chosen.height:,})"))
            )
        )
        .mark_point(filled=True, size=50, opacity=1)
        .encode(x="middle:Q", y="share:Q")
    )
    kinds = [f"chat-specific ({chosen.height:,})", f"all live ({live.height:,})"]
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=kinds, range=[CHAT, OTHER]), legend=alt.Legend(title=None, symbolType="circle")
    )
    return Figure(
        name=f"template-{dictionary.name}",
        title=title(dictionary, run),
        chart=alt.layer(everything.encode(color=colour), specific.encode(color=colour)).properties(
            width=WIDTH, height=150
        ),
        text=f"Share of a latent's activations on chat text that are on template tokens, {dictionary.name}:"
        " chat-specific ({specific}) beside all live ({live}); those that are active on chat text.",
        files=(of_columns(f"latents/{run.folder}.parquet", *rule_columns(dictionary.two_sided), *ON_TEMPLATE),),
        counts={"specific": chosen.height, "live": live.height},
    )
