"""At which places of the template latents are active, in the order of a conversation."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary, Run
from crossdiff.report.figures.panels import title
from crossdiff.report.figures.theme import CHAT, OTHER, Figure, data, present
from crossdiff.report.latents import alive, chat_specific, rule_columns
from crossdiff.report.words import VISIBLE

MOST = 24
"""Places drawn; of a longer template those that latents are most active at."""
ORDER = {"start": 0, "user": 1, "assistant": 2}
"""Order of what stands before a run of template tokens; a run that ends a conversation comes last."""


def places(item: Dictionary) -> Figure | None:
    """Mean share of a latent's activations at each place: chat-specific latents beside all live ones; None of none."""
    run = item.runs[0]
    live = run.latents.filter(alive)
    chosen = live.filter(chat_specific(item.two_sided))
    specific, every = f"chat-specific ({chosen.height:,})", f"all live ({live.height:,})"
    kinds = {specific: chosen, every: live} if chosen.height else {every: live}
    rows = pl.concat([shares(run, group).with_columns(kind=pl.lit(kind)) for kind, group in kinds.items()])
    if not rows.height:
        return None
    shown, left_out = kept(rows)
    axis = alt.Axis(title="mean share of a latent's activations", format="%", tickCount=5)
    base = alt.Chart(data(shown)).encode(
        y=alt.Y(
            "place:N",
            sort=shown["place"].unique(maintain_order=True).to_list(),
            axis=alt.Axis(title=None, labelLimit=220),
        ),
        x=alt.X("share:Q", axis=axis, scale=alt.Scale(type="sqrt")),
        color=alt.Color(
            "kind:N",
            scale=present({specific: CHAT, every: OTHER}, kinds),
            legend=alt.Legend(title=None, symbolType="circle"),
        ),
    )
    return Figure(
        name=f"template-places-{item.name}",
        title=title(item, run),
        chart=alt.layer(
            base.transform_filter(alt.datum.kind == every).mark_bar(height={"band": 0.6}),
            base.transform_filter(alt.datum.kind == specific).mark_point(filled=True, size=50, opacity=1),
        ).properties(width=240, height=alt.Step(15)),
        text=f"Mean share of activations at each place of the template, {item.name}: "
        + ("chat-specific ({specific}) beside " if chosen.height else "")
        + "all live ({live})."
        + (" {left_out} places of less activity are left out." if left_out else ""),
        files=(
            of_columns(
                f"latents/{run.folder}.template.parquet", "latent", "share", "before", "after", "place", "token"
            ),
            of_columns(f"latents/{run.folder}.parquet", "latent", *rule_columns(item.two_sided)),
        ),
        counts={"specific": chosen.height, "live": live.height, "left_out": left_out},
    )


def shares(run: Run, group: pl.DataFrame) -> pl.DataFrame:
    """Mean over a group's latents of the share of their activations at each place, in a conversation's order."""
    mine = run.slots.join(group.select("latent"), on="latent", how="semi")
    means = mine.group_by("before", "after", "place", "token").agg(share=pl.col("share").sum() / max(1, group.height))
    last = (
        pl.when(pl.col("after") == "end").then(len(ORDER)).otherwise(pl.col("before").replace_strict(ORDER, default=1))
    )
    named = pl.format("{} → {}  {}  {}", "before", "after", pl.col("place") + 1, visible(pl.col("token")))
    return means.sort(last, "before", "after", "place").select(place=named, share="share")


def visible(token: pl.Expr) -> pl.Expr:
    """Tokens with their invisible characters drawn, a space as a dot that every font has."""
    return token.str.replace_many({**VISIBLE, " ": "·"})


def kept(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Rows of the `MOST` places of largest share, and how many places were left out."""
    largest = rows.group_by("place", maintain_order=True).agg(pl.col("share").max()).sort("share", descending=True)
    known = rows["place"].n_unique()
    return rows.join(largest.head(MOST), on="place", how="semi", maintain_order="left"), max(0, known - MOST)
