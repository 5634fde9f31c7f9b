"""The tables on a dictionary's latents that experiments read: what was measured of each, and what it was called."""

import re
from pathlib import Path

import polars as pl

from crossdiff.dictionaries import Dictionary
from crossdiff.errors import UserError
from crossdiff.tables import read_table

CALLS = ("seed", "latent", "call")
"""Columns of a table of calls that are needed."""


def measured(file: Path, dictionary: Dictionary) -> pl.DataFrame:
    """A dictionary's latent table, in order; UserError if it is another dictionary's."""
    table = read_table(file, ("latent", "dead", "nu_valid")).sort("latent")
    latents = dictionary.shape[2]
    if table["latent"].to_list() != list(range(latents)):
        raise UserError(
            f"{file} has {len(table)} latents, but the dictionary has {latents}: give the table that attribution wrote"
            " of it"
        )
    return table


def of_seed(calls: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The rows of one seed; UserError if there are none, for a seed without calls is not one that was left out."""
    mine = calls.filter(pl.col("seed") == seed)
    if mine.is_empty():
        there = ", ".join(map(str, calls["seed"].unique().sort())) or "none"
        raise UserError(f"--calls: the table has no seed {seed}; it has {there}")
    return mine


def check_seed(seed: int, dictionary: Dictionary) -> None:
    """UserError if a dictionary says of itself that it was trained with another seed."""
    own = dictionary.about.get("seed")
    if own is not None and own != seed:
        raise UserError(f"--seed {seed}: the dictionary was trained with seed {own}")


def called(calls: pl.DataFrame, seed: int) -> list[int] | None:
    """Latents that are called chat-specific in one seed's dictionary; None if nothing was calibrated."""
    mine = of_seed(calls, seed)
    if mine["call"].null_count() == len(mine):
        return None
    return mine.filter(pl.col("call") == "chat-specific")["latent"].to_list()


def seed_of(latents: Path) -> int:
    """The seed that a latent table is named after; UserError if it is not named NAME-seedN.parquet."""
    found = re.fullmatch(r".+-seed(\d+)", latents.stem)
    if found is None:
        raise UserError(f"--latents {latents}: with --calls it must be named NAME-seedN.parquet, to tell the seed")
    return int(found[1])
