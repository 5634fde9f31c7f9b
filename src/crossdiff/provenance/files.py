"""Files written whole or not at all, their content hashes, and JSON objects read with errors that say what to do."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossdiff.errors import UserError


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
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid JSON ({error}): {mend}") from None
    if not isinstance(document, dict):
        raise UserError(f"{file} must hold a JSON object, not a {type(document).__name__}")
    return document


@contextlib.contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` if the block ends well, remove it if not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
