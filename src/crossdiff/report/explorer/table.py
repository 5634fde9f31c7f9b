"""Which latents the explorer shows, and their numbers as columns of one table over all dictionaries and seeds."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import polars as pl

from crossdiff.evidence.calls.honesty import CALLS
from crossdiff.report.collect import Dictionary, Run, Study
from crossdiff.report.explorer.texts import rounded
from crossdiff.report.latents import rank

TOP = 60
"""The most chat-specific latents of every dictionary and seed that are shown though nothing called them."""
MOST = 24_000
"""Latents of all dictionaries and seeds, at most; the called ones come first, then those with examples."""
NUMBERS = (
    "frequency", "delta_norm", "nu_reconstruction", "nu_error", "nu_activation", "nu_activation_se", "cosine",
    "norm_base", "norm_chat", "max", "mean", "q", "reappears", "tested", "tested_low", "tested_high",
)  # fmt: skip
"""Columns that are shown where the tables have them."""
SHARES = ("bos", "template", "user", "assistant", "text")


def shown(item: Dictionary, run: Run, most: int, chosen: Sequence[int], alike: Collection[int] = ()) -> pl.DataFrame:
    """Rows of one seed's latent table, at most ``most``: called ones, the top by ν, those with examples or ``chosen``.

    Those in ``alike`` are added, as far as there is room. ``called`` and ``specific`` (bool) join the columns; the most
    chat-specific comes first.
    """
    ranked = rank(item, run.latents).with_row_index("place")
    illustrated = set(run.examples["latent"].unique().to_list()) | set(chosen)
    return (
        ranked.with_columns(called=is_call("call") | is_call("agreed"), kept=pl.col("latent").is_in(list(illustrated)))
        .filter(
            pl.col("called")
            | pl.col("kept")
            | pl.col("specific")
            | (pl.col("place") < TOP)
            | pl.col("latent").is_in(list(alike))
        )
        .sort(pl.col("called").not_(), pl.col("kept").not_(), "place")
        .head(most)
        .sort("place")
    )


def is_call(column: str) -> pl.Expr:
    """Whether a column says that a latent differs: not none, undetermined or dead."""
    return pl.col(column).is_in(CALLS).fill_null(False)


def turn(whole: pl.DataFrame) -> list[int]:
    """Place of each row when the firmest answers come first: upheld calls, other calls by their q, then by rank.

    Calls of what is new in the chat model come before the other kinds.
    """
    kind = pl.col("call").replace_strict({call: place for place, call in enumerate(CALLS)}, default=len(CALLS))
    q = pl.when(is_call("call")).then(pl.col("q")) if "q" in whole.columns else pl.lit(None, pl.Float64)
    sorted_rows = whole.with_row_index("row").sort(
        pl.col("upheld").fill_null(False).not_(), kind, q, "place", "run", nulls_last=True
    )
    return sorted_rows.with_row_index("turn").sort("row")["turn"].to_list()


def columns(tables: Sequence[pl.DataFrame]) -> dict[str, list[Any]]:
    """The tables below one another, column by column; ``run`` is the number of the table a row is from."""
    whole = pl.concat([table.with_columns(run=pl.lit(number)) for number, table in enumerate(tables)], how="diagonal")
    found: dict[str, list[Any]] = {
        "run": whole["run"].to_list(),
        "latent": whole["latent"].to_list(),
        "place": whole["place"].to_list(),
        "turn": turn(whole),
        "kind": whole["class"].to_list(),
        "call": whole["call"].to_list(),
        "upheld": whole["upheld"].cast(pl.Int8).to_list(),
        "agreed": whole["agreed"].to_list(),
        "tested_by": whole["tested_by"].to_list(),
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
