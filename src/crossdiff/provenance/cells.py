"""Cells of a table by a key: `seed=0&latent=3&column=nu_error`, or `kl, tokens where behaviour = refusal`.

The first form is the page's own: columns and the values that pick the rows, as %-escaped as a web address, and the
column that is meant (all, if none is named). The second is that of report/origins.json.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from crossdiff.errors import UserError, first_line
from crossdiff.provenance.files import AGAIN

COLUMN = "column"


@dataclass(frozen=True)
class Key:
    """Which rows, and which of their columns."""

    rows: dict[str, str]
    """Value of each column that picks rows, as text."""
    columns: tuple[str, ...]
    """Empty: all."""


def parse(key: str) -> Key:
    """A key of either form."""
    if "&" in key or ("=" in key and " where " not in key):
        parts = {name: unquote(value) for name, _, value in (part.partition("=") for part in key.split("&"))}
        column = parts.pop(COLUMN, None)
        return Key(parts, (column,) if column else ())
    columns, _, condition = key.partition(" where ")
    name, _, value = condition.partition(" = ")
    return Key({name: value} if name else {}, tuple(filter(None, columns.split(", "))))


def cells(file: Path, key: str) -> pl.DataFrame:
    """The rows and columns that a key names; UserError names the column that is missing, or says that no row fits."""
    wanted = parse(key)
    try:
        there = pl.read_parquet_schema(file)
        for name in (*wanted.rows, *wanted.columns):
            if name not in there:
                raise UserError(f"{file} has no column {name}; it has {', '.join(there)}")
        fits = [fitting(name, there[name], value) for name, value in wanted.rows.items()]
        found = pl.scan_parquet(file).filter(fits or [pl.lit(True)]).select(wanted.columns or pl.all()).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{file} is no parquet file, or damaged: {first_line(error)}; {AGAIN}") from None
    if not found.height:
        raise UserError(f"{file} has no row where {' and '.join(f'{n} = {v}' for n, v in wanted.rows.items())}")
    return found


def fitting(name: str, kind: pl.DataType, value: str) -> pl.Expr:
    """Rows whose column has this value, given as text."""
    if not kind.is_numeric():
        return pl.col(name).cast(pl.String) == value
    try:
        number = float(value)
    except ValueError:
        raise UserError(f"{name}={value}: {name} is a column of numbers; give one") from None
    if kind.is_integer():  # which −1 or 3.5 may not be: then no row has it
        return pl.col(name).cast(pl.Float64) == number
    return pl.col(name) == pl.lit(number).cast(kind)
