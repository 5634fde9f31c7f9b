"""Which local files hold rows, told by how their names end; anything else is a `datasets` id or a folder."""

from glob import glob
from pathlib import Path

from crossdiff.errors import UserError
from crossdiff.parts.corpus import Rows
from crossdiff.paths import local

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


def local_files(source: Rows) -> list[str]:
    """Local files of a source, sorted; none for a `datasets` id or a folder that `datasets` reads.

    UserError if there are none where some are named, one has another format, or a key is given that files have not.
    """
    missing = f"{source.where}.path: there is no {source.path}; mend the path (it counts from {Path.cwd()})"
    if reader(source) is None:
        if local(source.path) and not Path(source.path).exists():
            raise UserError(missing)
        return []
    files = [source.path] if Path(source.path).is_file() else sorted(glob(source.path, recursive=True))
    if not files:
        raise UserError(missing)
    for name, value in (("subset", source.subset), ("revision", source.revision)):
        if value is not None:
            raise UserError(f"{source.where}.{name}: {source.path} is a local file, which has none; leave it out")
    if source.split != "train":
        raise UserError(f"{source.where}.split: {source.path} is a local file, which is read whole; leave it out")
    return files
