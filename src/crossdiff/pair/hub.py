"""Take one GGUF file out of a hub repository.

python -m crossdiff.pair.hub --settings SOURCE --out results/P/models/base.gguf
"""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from crossdiff.cli import stage
from crossdiff.errors import UserError
from crossdiff.parsing import settings
from crossdiff.parts.pair import Source
from crossdiff.provenance.files import whole


def main(
    settings_: Annotated[str, typer.Option("--settings", help="Source with path and gguf, as JSON or a file.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Download a GGUF file from a hub repository, through the hub's own cache."""
    source = settings(Source, settings_)
    if source.path is None or source.gguf is None:
        raise UserError("pair.*: path and gguf are needed, to know which file of which repository")
    try:
        cached = hf_hub_download(source.path, source.gguf, revision=source.revision)
    except LocalEntryNotFoundError:
        raise UserError(
            f"pair.*.gguf: {source.path}/{source.gguf} is not in the local cache and the hub cannot be reached;"
            " unset HF_HUB_OFFLINE, or give a local file as path"
        ) from None
    except (RepositoryNotFoundError, EntryNotFoundError, HfHubHTTPError) as error:
        raise UserError(f"pair.*.gguf: the hub has no {source.path}/{source.gguf} for you: {error}") from None
    with whole(out) as temporary:
        shutil.copyfile(cached, temporary)


if __name__ == "__main__":
    stage(main)
