"""Which latents the explorer shows, and their numbers as columns of one table over all dictionaries and seeds."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import polars as pl

from crossdiff.report.collect import Dictionary, Run, Study
from crossdiff.report.explorer.texts import rounded
from crossdiff.report.latents import rank

TOP = 60
"""The most chat-specific latents of every dictionary and seed that are shown though nothing called them."""
MOST = 1500
"""Latents of one dictionary and seed, at most; those with examples come first, then the most chat-specific."""
NUMBERS = (
    "frequency", "delta_norm", "nu_reconstruction", "nu_error", "nu_activation", "nu_activation_se", "cosine",
    "norm_base", "norm_chat", "max", "mean", "q", "reappears",
)  # fmt: skip
"""Columns that are shown where the tables have them."""
SHARES = ("bos", "template", "user", "assistant", "text")


def shown(item: Dictionary, run: Run, chosen: Sequence[int], alike: Collection[int] = ()) -> pl.DataFrame:
    """Rows of one seed's latent table: called ones, the top by ν, those with examples, those ``chosen`` for edits.

    Those in ``alike`` are added, as far as there is room. ``specific`` (bool) joins the columns; the most chat-specific
    comes first.
    """
    ranked = rank(item, run.latents).with_row_index("place")
    illustrated = set(run.examples["latent"].unique().to_list()) | set(chosen)
    return (
        ranked.with_columns(kept=pl.col("latent").is_in(list(illustrated)))
        .filter(
            pl.col("kept")
            | pl.col("specific")
            | (pl.col("place") < TOP)
            | pl.col("latent").is_in(list(alike))
            | (pl.col("call") == "chat-specific").fill_null(False)
        )
        .sort(pl.col("kept").not_(), "place")
        .head(MOST)
        .sort("place")
    )


def columns(tables: Sequence[pl.DataFrame]) -> dict[str, list[Any]]:
    """The tables below one another, column by column; ``run`` is the number of the table a row is from."""
    whole = pl.concat([table.with_columns(run=pl.lit(number)) for number, table in enumerate(tables)], how="diagonal")
    found: dict[str, list[Any]] = {
        "run": whole["run"].to_list(),
        "latent": whole["latent"].to_list(),
        "place": whole["place"].to_list(),
        "kind": whole["class"].to_list(),
        "call": whole["call"].to_list(),
        "specific": whole["specific"].cast(pl.Int8).to_list(),
        "valid": whole["nu_valid"].fill_null(False).cast(pl.Int8).to_list(),
    }
    found |= {name: short(whole[name]) for name in NUMBERS if name in whole.columns}
    found |= {f"{role}_share": short(whole[f"{role}_share"]) for role in SHARES if f"{role}_share" in whole.columns}
    sources = [name for name in whole.columns if name.startswith("frequency_")]
    found |= {name: short(whole[name]) for name in sources}
    if "histogram" in whole.columns:
        found["histogram"] = whole["histogram"].to_list()
    return found


def short(values: pl.Series) -> list[float | None]:
    """Numbers cut to four significant digits."""
    return [None if value is None else rounded(value) for value in values.to_list()]


def behaviours(study: Study, run: Run) -> dict[str, list[int]]:
    """Latents that one dictionary and seed used for each behaviour, best first; empty where nothing is planted."""
    record = study.records[f"evidence/{run.folder}/run.json"]
    return {name: sets["best"]["latents"] for name, sets in record["results"].get("chosen", {}).items()}


def runs(study: Study) -> Iterator[tuple[Dictionary, Run]]:
    """Every dictionary and seed, in the config's order."""
    for item in study.dictionaries:
        for run in item.runs:
            yield item, run
