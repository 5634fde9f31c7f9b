"""Snakemake's record of what it ran: one JSON file for each output under .snakemake/metadata, read as files.

The file's name is the base64 of the output's path; long names are split into folders that start with @.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = ".snakemake/metadata"
CODE = ("src/", "workflow/")


@dataclass(frozen=True)
class Job:
    """What Snakemake wrote down about one output."""

    output: str
    rule: str
    command: str
    checksums: dict[str, str]
    """Hex SHA-256 of each input that was hashed."""


def jobs(base: Path, above: str) -> dict[str, Job]:
    """Records of the outputs whose path starts with ``above``, by path; damaged ones are left out."""
    return {output: job for output, path in kept(base, above) if (job := read(path, output))}


def damaged(base: Path, above: str) -> list[str]:
    """The outputs whose record cannot be read."""
    return [output for output, path in kept(base, above) if read(path, output) is None]


def kept(base: Path, above: str) -> Iterator[tuple[str, Path]]:
    """Each output whose path starts with ``above``, and the file that holds its record."""
    for path in sorted(path for path in (base / FOLDER).rglob("*") if path.is_file()):
        output = decoded(path.relative_to(base / FOLDER))
        if output and output.startswith(above):
            yield output, path


def read(path: Path, output: str) -> Job | None:
    """One record; None if it cannot be read."""
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        checksums = {
            name: digest.removeprefix("sha256:")
            for name, digest in (told.get("input_checksums") or {}).items()
            if digest and len(digest.removeprefix("sha256:")) == 64
        }
        return Job(output, told["rule"], told.get("shellcmd") or "", checksums)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def decoded(name: Path) -> str | None:
    """The output that a record's file name stands for."""
    text = "".join(part.removeprefix("@") for part in name.parts)
    try:
        return base64.urlsafe_b64decode(text).decode()
    except (binascii.Error, ValueError):
        return None
