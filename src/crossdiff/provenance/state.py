"""Is a step's record there, and are its inputs still what they were?"""

from pathlib import Path

from crossdiff.errors import UserError
from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.record import read


def state(file: Path, hashes: Hashes) -> str:
    """missing, damaged, current or stale."""
    if not file.is_file():
        return "missing"
    try:
        inputs = read(file)["inputs"]
    except UserError:
        return "damaged"
    return "current" if all(same(path, digest, hashes) == "unchanged" for path, digest in inputs.items()) else "stale"


def same(path: str, digest: str, hashes: Hashes) -> str:
    """Whether a file still has the content it had."""
    found = hashes.sha256(Path(path))
    return "gone" if found is None else "unchanged" if found == digest else "CHANGED"
