"""Tables that steps read, with errors that say which file is at fault."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crossdiff.errors import UserError, first_line


def read_table(file: Path, needed: Sequence[str] = (), *, others: bool = True) -> pl.DataFrame:
    """The table in a parquet file, only its ``needed`` columns unless ``others`` are wanted, too.

    UserError if there is no such file, it is cut or no parquet, or lacks a column.
    """
    if not file.is_file():
        raise UserError(f"there is no table {file}; run the step that makes it first, or mend the path")
    try:
        there = pl.scan_parquet(file, glob=False).collect_schema()
        lacking = [name for name in needed if name not in there]
        if not lacking:
            return pl.read_parquet(file, columns=None if others else list(needed), glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        mend = "make it again with the step that wrote it"
        raise UserError(f"{file} cannot be read as a table ({first_line(error)}); {mend}") from None
    raise UserError(
        f"{file} has no column {', '.join(lacking)}: it is another table, or of an older version;"
        " mend the path, or make it again with the step that wrote it"
    )
