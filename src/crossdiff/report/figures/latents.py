"""Figures of the latents: Δ_norm, ν, and what kinds of token they fire on. One seed each, the first of the config."""

import altair as alt
import polars as pl

from crossdiff.report.collect import Dictionary, Run
from crossdiff.report.figures.theme import CHAT, CLASS_COLOURS, INK, MUTED, OTHER, SHARED, Figure, data
from crossdiff.report.latents import NU_ACTIVATION, NU_ERROR, NU_RECONSTRUCTION, alive, chat_specific

WIDTH, HEIGHT = 380, 180
FLOOR = 0.7
"""Foot of the bars on a logarithmic count axis, below a count of 1."""
WINDOW = (-0.2, 1.2)
"""Shown range of ν in the scatter; values outside are counted in the text."""
RANGE = (-1.0, 2.0)
"""Shown range of ν in the SAEs' histogram."""

count_scale = alt.Scale(type="log", domainMin=FLOOR, nice=False)
count_axis = alt.Axis(title="latents", values=[10**power for power in range(7)], format="~s")


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


def bars(rows: pl.DataFrame) -> alt.Chart:
    """Histogram bars on a logarithmic count axis; rows need left, right, count."""
    return (
        alt.Chart(data(rows.with_columns(foot=pl.lit(FLOOR))))
        .mark_bar(binSpacing=1)
        .encode(
            y=alt.Y("count:Q", scale=count_scale, axis=count_axis),
            y2=alt.Y2("foot:Q"),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )


def delta_norm(dictionary: Dictionary) -> Figure:
    """How many latents lie at each Δ_norm, coloured by class; in ink those that ν calls chat-specific."""
    run = dictionary.runs[0]
    live = run.latents.filter(alive)
    passing = "chat-specific by ν"
    kinds = [*CLASS_COLOURS, passing]
    rows = pl.concat(
        [
            histogram(group["delta_norm"], 0, 1, 50).with_columns(kind=pl.lit(kind))
            for kind, group in [
                *((name, live.filter(pl.col("class") == name)) for name in CLASS_COLOURS),
                (passing, live.filter(chat_specific(True))),
            ]
        ]
    )
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=kinds, range=[*CLASS_COLOURS.values(), INK]), legend=alt.Legend(title=None)
    )
    chart = bars(rows).encode(
        x=alt.X(
            "left:Q",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(
                title="Δ_norm   (0 base only · ½ shared · 1 chat only)",
                values=[0, 0.1, 0.4, 0.5, 0.6, 0.9, 1],
                format="~g",
            ),
        ),
        x2="right:Q",
        color=colour,
    )
    return Figure(
        name=f"delta-norm-{dictionary.name}",
        title=title(dictionary, run),
        chart=chart,
        text=f"Histogram of Δ_norm over {live.height:,} live latents of {dictionary.name}, {passing}: "
        f"{live.filter(chat_specific(True)).height:,}.",
        files=(f"latents/{run.folder}.parquet",),
    )


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
        alt.Chart(data(cells(shown, 70)))
        .mark_rect(color=MUTED)
        .encode(
            x=x, x2="x2:Q", y=y, y2="y2:Q",
            fillOpacity=alt.FillOpacity("count:Q", scale=alt.Scale(type="log", range=[0.18, 1]), legend=None),
        )
    )  # fmt: skip
    region = (
        alt.Chart(data([{"x": WINDOW[0], "x2": NU_ERROR, "y": WINDOW[0], "y2": NU_RECONSTRUCTION}]))
        .mark_rect(fill=CHAT, fillOpacity=0.07, stroke=CHAT, strokeDash=[4, 3], strokeWidth=1)
        .encode(x="x:Q", x2="x2:Q", y="y:Q", y2="y2:Q")
    )
    dots = (
        alt.Chart(data(points))
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


def template_share(dictionary: Dictionary) -> Figure:
    """Share of a latent's activations on template tokens: chat-specific latents beside all live ones."""
    run = dictionary.runs[0]
    live = run.latents.filter(alive)
    chosen = live.filter(chat_specific(dictionary.two_sided))

    def shares(group: pl.DataFrame) -> pl.DataFrame:
        values = group["template_share"].drop_nulls()
        return histogram(values, 0, 1, 10).with_columns(share=pl.col("count") / max(1, values.len()))

    x = alt.X(
        "left:Q",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(title="share of activations on template tokens", format="%", tickCount=5),
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
        text=f"Share of activations on template tokens, {dictionary.name}: {kinds[0]} beside {kinds[1]}.",
        files=(f"latents/{run.folder}.parquet",),
    )


def title(dictionary: Dictionary, run: Run) -> str:
    """What a panel of one dictionary is called."""
    return f"{dictionary.name}, seed {run.seed}" if len(dictionary.runs) > 1 else dictionary.name
