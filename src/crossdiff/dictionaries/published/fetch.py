"""The files of a published dictionary: where they lie, or from the hub through the hub's own cache."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from crossdiff.dictionaries.published.registry import MODULES
from crossdiff.dictionaries.published.settings import Published
from crossdiff.errors import UserError
from crossdiff.workflow import local

SETTINGS = ("config.json", "cfg.json", "dictionary.json")


@dataclass(frozen=True)
class Fetched:
    """Files that are there."""

    path: Path
    """A folder or a weight file."""
    commit: str | None
    """Of the hub; None for a local one."""
    told: str
    """What a reader calls the place."""


def fetch(settings: Published, key: str) -> Fetched:
    """The local files of a dictionary, downloaded if need be; UserError names ``key``.from and what to do.

    Of a hub repository only settings and the usual weight files are taken, not a training's checkpoints.
    """
    if local(settings.origin):
        path = Path(settings.origin).expanduser()
        path = path / settings.subfolder if settings.subfolder else path
        if not path.exists():
            raise UserError(f"{key}.from: there is no {path}; mend the path (it counts from {Path.cwd()})")
        return Fetched(path, None, str(path))
    folder = f"{settings.subfolder.strip('/')}/" if settings.subfolder else ""
    wanted = [folder + name for name in (*SETTINGS, *(format_.FILES[0] for format_ in MODULES))]
    snapshot = _download(settings, wanted, key)
    at = f"@{settings.revision}" if settings.revision else ""
    return Fetched(snapshot / folder, snapshot.name, f"{settings.origin}{at}{'/' + folder if folder else ''}")


def _download(settings: Published, patterns: list[str], key: str) -> Path:
    origin = settings.origin
    try:
        return Path(snapshot_download(origin, revision=settings.revision, allow_patterns=patterns))
    except HFValidationError:
        raise UserError(f"{key}.from: {origin} is neither a path that exists nor a hub id (owner/name)") from None
    except LocalEntryNotFoundError:
        raise UserError(
            f"{key}.from: {origin} is not in the local cache and the hub cannot be reached;"
            " unset HF_HUB_OFFLINE, or give a local folder"
        ) from None
    except GatedRepoError:
        raise UserError(
            f"{key}.from: {origin} is gated: accept its terms at https://huggingface.co/{origin} and log in"
            " (hf auth login, or HF_TOKEN)"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{key}.revision: {origin} has no revision {settings.revision}") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{key}.from: the hub has no {origin} for you: mend the id, or log in if it is private"
        ) from None
    except HfHubHTTPError as error:
        raise UserError(f"{key}.from: the hub did not give {origin}: {error}") from None
