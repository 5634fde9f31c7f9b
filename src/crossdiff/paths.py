"""Does a name mean something on this machine, or on a hub?"""

from pathlib import Path


def local(path: str | None) -> bool:
    """Whether a path is meant as a local one rather than as a hub or `datasets` id (`name` or `owner/name`)."""
    return path is not None and (
        Path(path).exists() or path.startswith((".", "/", "~")) or path.endswith(".gguf") or path.count("/") > 1
    )
