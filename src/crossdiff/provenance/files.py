"""Files written whole or not at all, their content hashes, and JSON objects read with errors that say what to do."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossdiff.errors import UserError

AFTER = "; it is there after make study, or dvc pull"
AGAIN = "delete it, then run make study, or dvc pull"
"""What to do about a result that is missing, or damaged: neither Snakemake nor DVC replaces a file that is there."""


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_object(file: Path, missing: str, mend: str) -> dict[str, Any]:
    """The JSON object in a file; UserError says ``missing`` if there is no file and ``mend`` if it holds no JSON."""
    try:
        document = json.loads(file.read_text())
    except FileNotFoundError:
        raise UserError(f"{file} is missing{missing}") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); give a file that you may read") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid JSON ({error}): {mend}") from None
    if not isinstance(document, dict):
        raise UserError(f"{file} must hold a JSON object, not a {type(document).__name__}: {mend}")
    return document


def make_folder(folder: Path) -> None:
    """Make a folder for results, and those above it; UserError if it cannot be, or cannot be written to."""
    writable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: the folder cannot be made ({error.strerror}); name another one") from None


def writable(folder: Path) -> None:
    """UserError unless files can be written to a folder for results, which need not be there yet: nothing is made."""
    above = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    why = "no permission" if not os.access(above, os.W_OK | os.X_OK) else ""
    why = why if above.is_dir() else f"{above.name} is a file"
    if why:
        raise UserError(f"{folder}: results cannot be written there ({why}); make it a folder that you may write to")


def check_name(path: Path, ending: str = "") -> None:
    """UserError if a file cannot have this name: a folder has it, or it lacks the ``ending`` that its readers know."""
    if path.is_dir():
        raise UserError(f"{path}: this is a folder; give the name of a file, such as {path / f'name{ending}'}")
    if not path.name.endswith(ending):
        raise UserError(f"{path}: the name must end in {ending}, by which other steps find the file")


@contextlib.contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` if the block ends well, remove it if not.

    UserError, before the block, if the folder cannot be written to; and if the disk fills up within it.
    """
    path = Path(path)
    check_name(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except Exception as error:
        if full(error):
            mend = "free some space, then run the same command again"
            raise UserError(f"{path} cannot be written: the disk is full; {mend}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def full(error: Exception) -> bool:
    """Whether an error says that a disk, or a user's share of it, is full: in safetensors' and polars' words, too."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)
