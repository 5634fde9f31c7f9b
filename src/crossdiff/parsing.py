"""Settings read into their types and written as JSON, with a message for every wrong key."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs

from crossdiff import overlay
from crossdiff.errors import UserError
from crossdiff.overlay import Keys, Layers, giver, has

T = TypeVar("T")
UNKNOWN = "no such key; see workflow/schemas/config.schema.json for those there are"
LINES = "Input should be `key: value` lines"
PLAIN = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "dataclass_type"), LINES),
    **dict.fromkeys(("list_type", "tuple_type"), "Input should be a list, as in [a, b]"),
    **dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), UNKNOWN),
    "invalid_key": "a key must be a word; quote a number",
}
"""What pydantic tells in words of Python, by its kind of fault."""


def explain(error: ValidationError, data: Any, where: str | Layers) -> str:
    """One line a faulty key of ``data``: its file, the key, what is wrong, what was given."""
    told: dict[Keys, list[str]] = {}
    given: dict[Keys, Any] = {}
    for fault in error.errors():
        path = _path(fault["loc"], data, missing=fault["type"] == "missing")
        told.setdefault(path, []).append(PLAIN.get(fault["type"], fault["msg"].removeprefix("Value error, ")))
        given[path] = fault["input"]
    lines = []
    for path, (first, *others) in told.items():
        file = where if isinstance(where, str) else giver(where, path)
        text = ", or ".join([first, *(other.removeprefix("Input should be ") for other in others)])
        if first != UNKNOWN and not isinstance(given[path], dict | list | ArgsKwargs):
            text += f" (got {given[path]!r})"
        lines.append(f"{file}: {'.'.join(map(str, path)) or 'config'}: {text}")
    return "\n".join(lines)


def _path(loc: Keys, data: Any, missing: bool) -> Keys:
    """The keys that lead to a fault, without the names of the kinds that pydantic tried there."""
    path: list[str | int] = []
    for part in loc[: len(loc) - missing]:
        if has(data, part):
            path.append(part)
            data = data[part]
    return (*path, *loc[len(loc) - missing :])


def parse(kind: type[T], data: Any, where: str | Layers = "config.yaml") -> T:
    """``data`` as a ``kind`` (Config, a part of it, or Recipe); UserError names each wrong key.

    ``where`` is the file that a message names, or the files that were merged, of which it names the one with the key.
    """
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise UserError(explain(error, data, where)) from None


def settings(kind: type[T], text: str) -> T:
    """Settings of a stage given on its command line: inline JSON, or the name of a YAML or JSON file."""
    if not text.lstrip().startswith("{"):
        return parse(kind, overlay.read(Path(text)), text)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings: no JSON ({error}); give one JSON object, or the name of a file") from None
    return parse(kind, data, "--settings")


def dump(part: Any) -> str:
    """A part of the config as one line of JSON: what a stage takes as ``--settings``."""
    return TypeAdapter(type(part)).dump_json(part).decode()
