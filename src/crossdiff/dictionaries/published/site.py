"""Where a published dictionary says that it was trained, in the words of several packages."""

import re

from crossdiff.errors import UserError

STREAM = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")
BLOCK = re.compile(r"(?:(?:model|transformer)\.)?(?:layers|h)\.(\d+)")
ELSEWHERE = re.compile(r"(?:(?:model|transformer)\.)?(?:blocks|layers|h)\.\d+\..+")


def layer_of(hook: str | None) -> int | None:
    """The block whose output a dictionary reads, −1 for the embeddings; None if nothing known says it.

    UserError if it was trained inside a block.
    """
    if hook is None:
        return None
    if found := STREAM.fullmatch(hook):
        return int(found[1]) - (found[2] == "pre")
    if found := BLOCK.fullmatch(hook):
        return int(found[1])
    if ELSEWHERE.fullmatch(hook):
        raise UserError(
            f"it was trained at {hook}, inside a block; only dictionaries of the residual stream can be used"
        )
    return None
