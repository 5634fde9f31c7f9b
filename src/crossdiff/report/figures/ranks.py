"""Whether Δ_norm would have found the latents that ν ranks first."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary, Run
from crossdiff.report.figures.panels import WIDTH
from crossdiff.report.figures.theme import MUTED, Figure, by_dictionary, data, decades
from crossdiff.report.latents import alive, rank, rule_columns

LOWEST = 100
"""Latents of lowest ν that are looked for."""


def ranks(items: list[Dictionary], names: list[str]) -> Figure | None:
    """Share of the latents of lowest ν among those of highest Δ_norm, for each number of the latter."""
    found = [places(item, run) for item in items for run in item.runs]
    rows = pl.concat([rows for rows in found if rows.height] or [pl.DataFrame()])
    if not rows.height:
        return None
    most = max(run.latents.filter(alive).height for item in items for run in item.runs)
    x = alt.X(
        "rank:Q",
        scale=alt.Scale(type="log", domain=[1, most], nice=False),
        axis=decades("latents taken, highest Δ_norm first"),
    )
    y = alt.Y("share:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="share found", format="%", tickCount=4))
    steps = [round(most ** (place / 40)) for place in range(41)]
    chance = [{"rank": step, "share": step / most} for step in dict.fromkeys(steps)]
    shown = [item.name for item in items]
    curve = alt.Chart(data(rows, "by Δ_norm")).mark_line(interpolate="step-after", strokeWidth=1.5)
    by_chance = alt.Chart(data(chance, "by chance")).mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1)
    return Figure(
        name="nu-by-delta-rank",
        title=f"The {LOWEST} latents of lowest ν, by rank of Δ_norm",
        chart=alt.layer(
            by_chance.encode(x=x, y=y),
            curve.encode(x=x, y=y, color=by_dictionary(shown, names), detail="seed:N"),
        ).properties(width=WIDTH, height=190),
        text=f"Share of the {LOWEST} latents that ν_r and ν_ε rank first found among those of highest Δ_norm, for each "
        "number of those taken; a line each seed. Dashed: latents taken at random.",
        files=tuple(
            of_columns(f"latents/{run.folder}.parquet", *rule_columns(True), "latent", "delta_norm")
            for item in items
            for run in item.runs
        ),
    )


def places(item: Dictionary, run: Run) -> pl.DataFrame:
    """Rank by Δ_norm of each latent of lowest ν, and the share of them found by then."""
    by_nu = rank(item, run.latents).drop_nulls("order")
    if not by_nu.height:
        return pl.DataFrame()
    order = by_nu.sort("delta_norm", "latent", descending=[True, False]).with_row_index("rank", 1)
    lowest = order.join(by_nu.head(LOWEST).select("latent"), on="latent", how="semi").sort("rank")
    share = pl.int_range(1, pl.len() + 1) / pl.len()
    return lowest.select(pl.lit(run.name).alias("dictionary"), pl.lit(run.seed).alias("seed"), "rank", share=share)
