"""How many latents lie below each threshold of ν, and how often they are active: a curve a dictionary and seed."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Study
from crossdiff.report.figures.theme import Figure, by_dictionary, data, decades

RULES = {
    "nu_reconstruction_and_error_below": "|ν_r| and |ν_ε| below π",
    "nu_activation_below": "|ν| of the activation below π",
}
COUNTS = {"": "latents", "_frequency": "Σ frequency, latents active on a token"}


def thresholds(study: Study) -> list[Figure]:
    """Counts and Σ frequency, by each rule that some dictionary has."""
    figures = [curves(study, rule, ending) for rule in RULES for ending in COUNTS]
    return [figure for figure in figures if figure is not None]


def curves(study: Study, rule: str, ending: str) -> Figure | None:
    """One quantity against the threshold; None if it is nowhere above 0.

    Zeros have no place on the logarithmic axis.
    """
    runs = [run for item in study.dictionaries for run in item.runs]
    rows = pl.concat(
        [
            run.comparisons.filter((pl.col("quantity") == rule + ending) & (pl.col("value") > 0)).select(
                pl.lit(run.name).alias("dictionary"), pl.lit(run.seed).alias("seed"), "at", "value"
            )
            for run in runs
        ]
    )
    if not rows.height:
        return None
    axis = decades(COUNTS[ending])
    chart = (
        alt.Chart(data(rows))
        .mark_line(strokeWidth=1.5)
        .encode(
            x=alt.X("at:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title=f"π;  {RULES[rule]}", tickCount=5)),
            y=alt.Y("value:Q", scale=alt.Scale(type="log", nice=True), axis=axis),
            color=by_dictionary([name for name in study.names if name in rows["dictionary"]], study.names),
            detail="seed:N",
        )
        .properties(width=300, height=190)
    )
    what = "How many latents are" if not ending else "How many latents are active on a token that are"
    return Figure(
        name=f"below-{rule.removeprefix('nu_').removesuffix('_below').replace('_', '-')}{ending.replace('_', '-')}",
        title=f"{'Latents' if not ending else 'Σ frequency'}, {RULES[rule]}",
        chart=chart,
        text=f"{what} below each threshold π, by {RULES[rule].removesuffix(' below π')}; a line each seed.",
        files=tuple(of_columns(f"latents/{run.folder}.comparisons.parquet", "quantity", "at", "value") for run in runs),
    )
