"""How far a latent's base and chat rows point the same way, by class, beside pairs of different latents."""

import altair as alt
import polars as pl

from crossdiff.provenance.addresses import of_columns
from crossdiff.report.collect import Dictionary, Run
from crossdiff.report.figures.spreads import NAMES, spreads
from crossdiff.report.figures.theme import CLASS_COLOURS, FAINT, Figure

RANDOM = "random pairs"
READ = ("quantity", "group", "at", "value")
SIDES = {"cosine": "decoder rows", "enc_cosine": "encoder columns"}


def cosines(item: Dictionary) -> Figure | None:
    """Decoder and encoder of a crosscoder, every seed; None if no latent of it is active."""
    tables = [spread(run).with_columns(seed=pl.lit(run.seed)) for run in item.runs if has_any(run)]
    if not tables:
        return None
    rows = pl.concat(tables)
    axis = alt.Axis(title="cosine of a latent's base and chat row", tickCount=5)
    colours = {name: colour for name, colour in CLASS_COLOURS.items() if name in rows["group"]} | {RANDOM: FAINT}
    return Figure(
        name=f"cosines-{item.name}",
        title=item.name,
        chart=spreads(rows, colours, alt.Scale(domain=[-1, 1]), axis, line=RANDOM),
        text=f"Cosines of the two models' rows of each latent of {item.name}, by class: 5 to 95 %, the middle half and "
        "the median, a bar each seed. The dashed line is the mean of 10,000 pairs of different latents.",
        files=tuple(of_columns(f"latents/{run.folder}.comparisons.parquet", *READ) for run in item.runs),
    )


def has_any(run: Run) -> bool:
    """Whether the table of comparisons has a cosine."""
    return bool(run.comparisons["quantity"].is_in(list(SIDES)).any())


def spread(run: Run) -> pl.DataFrame:
    """Columns panel, group, mean and the quantiles, from the table of comparisons."""
    wide = run.comparisons.filter(pl.col("quantity").is_in(list(SIDES))).with_columns(
        name=pl.when(pl.col("at").is_null())
        .then(pl.lit("mean"))
        .otherwise(pl.format("q{}", (100 * pl.col("at")).round().cast(pl.Int64).cast(pl.String).str.zfill(2)))
    )
    rows = wide.pivot("name", index=["quantity", "group", "n"], values="value", aggregate_function="first")
    known = rows.select("group", "n", "mean", *NAMES, panel=pl.col("quantity").replace(SIDES))
    return known.sort("panel", maintain_order=True)
