"""Which local files hold rows, told by how their names end; anything else is a `datasets` id or a folder."""

from pathlib import Path

from crossdiff.errors import UserError
from crossdiff.parts.corpus import Rows

FORMATS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".jsonl.gz": "json", ".json.gz": "json"}
"""Reader of a local file, by how its name ends."""
OTHER = {".csv", ".tsv", ".txt", ".zst", ".arrow", ".gz", ".xz", ".zip"}
"""Endings that tell a file from a `datasets` id even where there is none."""


def reader(source: Rows) -> str | None:
    """What reads the source's local files; None if it names none. UserError if it names files that are not read."""
    found = next((name for suffix, name in FORMATS.items() if source.path.endswith(suffix)), None)
    if found is None and (Path(source.path).is_file() or Path(source.path).suffix in OTHER):
        raise UserError(
            f"{source.where}.path: {source.path} has no format that is read; save it as one of {', '.join(FORMATS)}"
        )
    return found
