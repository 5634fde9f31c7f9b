"""Content hashes of a study's files, each file read once however many checks ask for it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

CHUNK = 1 << 23


class Hashes:
    """SHA-256 (run.json, Snakemake, RO-Crate) and MD5 (DVC) by path; ``told`` is called with each chunk's bytes."""

    def __init__(self, told: Callable[[int], object] = lambda size: None) -> None:
        self._told = told
        self._found: dict[Path, tuple[str, str]] = {}

    def sha256(self, path: Path) -> str | None:
        """Hex SHA-256; None if there is no such file."""
        return found[0] if (found := self._both(path)) else None

    def md5(self, path: Path) -> str | None:
        """Hex MD5; None if there is no such file."""
        return found[1] if (found := self._both(path)) else None

    def _both(self, path: Path) -> tuple[str, str] | None:
        if path not in self._found:
            if not path.is_file():
                return None
            sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    sha256.update(chunk)
                    md5.update(chunk)
                    self._told(len(chunk))
            self._found[path] = sha256.hexdigest(), md5.hexdigest()
        return self._found[path]
