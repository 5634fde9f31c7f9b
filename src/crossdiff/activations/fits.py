"""Does what is given beside activations belong to them? Their manifest tells what they were read from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.errors import UserError
from crossdiff.provenance.files import sha256_file

MEND = "give what belongs together, or run the activations step on it"


def check_source(file: Path, manifest: Mapping[str, Any], *, pair: Path, rows: Path | None = None) -> None:
    """UserError unless the activations whose ``manifest`` is in ``file`` were read from this pair and these rows."""
    if "pair" in manifest and json.loads(pair.read_text()) != manifest["pair"]:
        raise UserError(f"{file} was not read from the models of {pair}: {MEND}")
    if rows and "rows_sha256" in manifest and sha256_file(rows) != manifest["rows_sha256"]:
        raise UserError(f"{file} was not read from {rows}, but from other rows: {MEND}")


def check_dictionary(file: Path, manifest: Mapping[str, Any], folder: Path, dictionary: Dictionary) -> None:
    """UserError unless a dictionary reads streams as wide as the activations, after the same block."""
    width, layer = dictionary.shape[1], dictionary.about.get("layer")
    if "D" in manifest and width != manifest["D"]:
        raise UserError(
            f"{folder}: it reads streams of width {width}, but those of {file} have {manifest['D']}: {MEND}"
        )
    if None not in (layer, manifest.get("layer")) and layer != manifest["layer"]:
        raise UserError(f"{folder}: it reads block {layer}, but {file} is of block {manifest['layer']}: {MEND}")
    own = dictionary.about.get("pair")
    if None not in (own, manifest.get("pair")) and own != manifest["pair"]:
        raise UserError(f"{folder} was not trained on the models of {file}: {MEND}")
