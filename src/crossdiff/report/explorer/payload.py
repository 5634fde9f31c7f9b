"""The explorer's data as one line of text for the page, cut to a size: called latents keep their texts longest."""

import base64
import json
import zlib
from typing import Any

BUDGET = 11_000_000
"""Characters of the page that the explorer may take."""
FULL = ("examples", "tokens")
"""What a latent that is left out of the full ones goes without: most of what the explorer takes."""


def packed(data: dict[str, Any]) -> str:
    """Compact JSON, compressed (zlib), in base64: no character in it could end a script element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode())).decode()


def unpacked(text: str) -> dict[str, Any]:
    """What `packed` was given; ValueError or zlib.error of anything else."""
    data: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    return data


def fitted(data: dict[str, Any], budget: int = BUDGET) -> tuple[str, dict[str, Any]]:
    """The data as text of at most ``budget`` characters, and what of it is in the text.

    Latents go without `FULL`, the last in turn first, until the text fits; the table itself is never cut.
    """
    full = len(data["table"]["turn"])
    text, kept = packed(data), data
    while len(text) > budget and full:
        # Texts take most of the room, so their number shrinks as the size must, and a little more to be done soon.
        full = int(0.95 * full * budget / len(text))
        kept = cut(data, full)
        text = packed(kept)
    return text, kept


def cut(data: dict[str, Any], full: int) -> dict[str, Any]:
    """The data with `FULL` of the first ``full`` latents in turn only, None where there was something to leave out."""
    parts = {
        name: [
            value if turn < full or not value else None
            for turn, value in zip(data["table"]["turn"], data[name], strict=True)
        ]
        for name in FULL
    }
    row = data["fields"].index("row")
    needed = {str(example[row]) for examples in parts["examples"] for example in examples or []}
    return data | parts | {"rows": {number: text for number, text in data["rows"].items() if str(number) in needed}}
