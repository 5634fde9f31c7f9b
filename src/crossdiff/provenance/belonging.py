"""Do the inputs of a step belong together? The records of the steps that made them tell.

Snakemake gives each step files of one study. By hand it is easy to give a dictionary the activations of another pair,
and the shapes may fit: nothing else would tell.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossdiff.errors import UserError
from crossdiff.provenance.origins import NULL, on_null

Roles = dict[str, dict[str, str]]
"""What files are in a study -> their paths by sha256: several may play a role, as dictionaries of all seeds do."""


def check(hashes: Mapping[str, str]) -> None:
    """UserError if an input was made from other files than those of the same role that are given beside it.

    ``hashes`` are the sha256 of all inputs by path. Inputs without a record say nothing.
    """
    given = roles(hashes)
    for file in hashes:
        for part, sources in roles(made_from(Path(file))).items():
            if part in given and not given[part].keys() & sources.keys():
                raise UserError(
                    f"{file} was not made from {', '.join(given[part].values())}, but from another such file"
                    f" ({', '.join(sources.values())}, as it was then): give files of one study, or make both again"
                )


def roles(hashes: Mapping[str, str]) -> Roles:
    """Files by what they are in a study."""
    found: Roles = defaultdict(dict)
    for file, digest in hashes.items():
        found[role(Path(file))][digest] = file
    return found


def role(file: Path) -> str:
    """Folder and name, but of a dictionary's files, whose folder is its own, the name; on the null tune as such."""
    known = file.name if file.stem == "dictionary" else f"{file.parent.name}/{file.name}"
    return f"{NULL}/{known}" if on_null(file) else known


def made_from(file: Path) -> dict[str, str]:
    """Hashes by path that the record of the step that made a file lists; none where no record can be read."""
    for record in (f"{file.name.partition('.')[0]}.run.json", "run.json"):
        try:
            document: Any = json.loads(file.with_name(record).read_text())
            return {str(source): str(digest) for source, digest in document["inputs"].items()}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
    return {}
