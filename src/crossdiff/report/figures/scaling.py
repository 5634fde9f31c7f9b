"""Histograms of ν of the activation: where it is well-posed, and whose latents are mostly the template's."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary
from crossdiff.report.figures.panels import bars, histogram, title
from crossdiff.report.figures.theme import CHAT, OTHER, SHARED, Figure, present
from crossdiff.report.latents import (
    MOSTLY,
    NU_ACTIVATION,
    ON_TEMPLATE,
    alive,
    chat_specific,
    on_template,
    rule_columns,
)

RANGE = (-1.0, 2.0)
"""Shown range of ν; values outside are counted in the text."""


def nu_bars(groups: dict[str, tuple[pl.DataFrame, str]]) -> alt.Chart:
    """One set of bars in front of another; each group has its latents and its colour."""
    rows = pl.concat(
        [
            histogram(latents["nu_activation"].drop_nulls(), *RANGE, 60).with_columns(kind=pl.lit(kind))
            for kind, (latents, _) in groups.items()
        ]
    )
    return bars(rows).encode(
        x=alt.X(
            "left:Q",
            scale=alt.Scale(domain=RANGE, nice=False),
            axis=alt.Axis(title="ν  (activation: share of the latent found in the base model)", tickCount=7),
        ),
        x2="right:Q",
        color=alt.Color(
            "kind:N",
            scale=present({kind: colour for kind, (_, colour) in groups.items()}, rows["kind"]),
            legend=alt.Legend(title=None, columns=2),
        ),
    )


def outside(latents: pl.DataFrame) -> int:
    """How many have a ν that is not shown."""
    return int(latents["nu_activation"].drop_nulls().is_between(*RANGE).not_().sum())


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
    return Figure(
        name=f"nu-{dictionary.name}",
        title=title(dictionary, run),
        chart=nu_bars(groups),
        text=f"Histogram of ν over {{live}} live latents of {dictionary.name}, {{valid}} of them "
        "well-posed; {outside} well-posed ones lie outside the frame.",
        files=(of_columns(f"latents/{run.folder}.parquet", *rule_columns(False)),),
        counts={"live": live.height, "valid": valid.height, "outside": outside(valid)},
    )


def nu_and_template(dictionary: Dictionary) -> Figure:
    """ν of the activation of all live latents, and over them of those that are mostly active on template tokens."""
    run = dictionary.runs[0]
    live = run.latents.filter(alive)
    mostly = live.filter(on_template > MOSTLY)
    groups = {"all live": (live, SHARED), "mostly on template tokens": (mostly, CHAT)}
    return Figure(
        name=f"nu-template-{dictionary.name}",
        title=title(dictionary, run),
        chart=nu_bars(groups),
        text=f"Histogram of ν over {{live}} live latents of {dictionary.name}; {{mostly}} have more than "
        "half of their activations on chat text on template tokens. {outside} lie outside the frame.",
        files=(of_columns(f"latents/{run.folder}.parquet", "dead", "nu_activation", *ON_TEMPLATE),),
        counts={"live": live.height, "mostly": mostly.height, "outside": outside(live)},
    )
