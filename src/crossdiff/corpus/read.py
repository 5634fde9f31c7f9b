"""Rows of a corpus source: a `datasets` id (streamed) or local parquet, jsonl and json files.

A row is plain text or a conversation, told apart by what the column holds. Conversations are checked here, before
anything is tokenised: a user message first (after an optional system message), then answers and users in turn.
"""

import glob
import gzip
import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from crossdiff.corpus.formats import FORMATS, local_files, reader
from crossdiff.corpus.render import Message, RowError
from crossdiff.corpus.roles import SPEAKER
from crossdiff.errors import UserError
from crossdiff.parts.corpus import Rows

if TYPE_CHECKING:
    from datasets import IterableDataset


class Record(NamedTuple):
    """A row of a source: its number there (from 0) and what its column holds."""

    number: int
    value: Any


def records(source: Rows) -> Iterator[Record]:
    """The rows of ``source`` in its own order, read as they are asked for; UserError if it cannot be read."""
    where = source.where
    stream = opened(source)
    number = -1
    try:
        for number, row in enumerate(stream):
            if source.column not in row:
                raise UserError(f"{where}.column: no column {source.column!r}; there are {', '.join(map(repr, row))}")
            yield Record(number, row[source.column])
    except (OSError, ValueError, RuntimeError) as error:  # what pyarrow and datasets raise on a file they cannot read
        place = faulty_line(source) or ("before its first row" if number < 0 else f"after row {number}")
        raise UserError(f"{where}.path: cannot read {source.path} {place}: {error}; mend or replace it") from error


def faulty_line(source: Rows) -> str | None:
    """The first line of a source's JSON-lines files that is no JSON object, in words; datasets names none."""
    for file in local_files(source):
        if not file.removesuffix(".gz").endswith(".jsonl"):
            continue
        with gzip.open(file) if file.endswith(".gz") else open(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    sound = not line.strip() or isinstance(json.loads(line.removeprefix(BOM_UTF8)), dict)
                except ValueError:
                    sound = False
                if not sound:
                    where = "" if file == source.path else f" of {file}"
                    return f"at line {number}{where}, which is no JSON object"
    return None


def opened(source: Rows) -> "IterableDataset":
    """The stream of a source's rows."""
    import datasets  # takes a second, and most steps read rows that are already rendered

    files = local_files(source)
    try:
        if files:
            names = [glob.escape(file) for file in files]  # which datasets takes for patterns
            return datasets.load_dataset(reader(source), data_files=names, split="train", streaming=True)
        return datasets.load_dataset(
            source.path, source.subset, split=source.split, revision=source.revision, streaming=True
        )
    except StopIteration:  # what datasets raises where no file has a first row
        raise UserError(f"{source.where}.path: {source.path} is empty; give a file that has rows") from None
    except (OSError, ValueError, RuntimeError) as error:
        mend = f"give a datasets id, or local files that end in {', '.join(FORMATS)}"
        if isinstance(error, ConnectionError):
            mend = "connect (and unset HF_HUB_OFFLINE), or give local files"
        raise UserError(
            f"{source.where}: cannot open {source.path!r} (subset {source.subset!r}, split {source.split!r}): {error};"
            f" {mend}"
        ) from error


def checked(value: Any) -> str | list[Message]:
    """A row's value as text or as a list of {role, content}; RowError says what is wrong with it."""
    if isinstance(value, str):
        if not value.strip():
            raise RowError("the text is empty")
        return value
    if not isinstance(value, list):
        raise RowError(f"neither text nor a list of messages, but {type(value).__name__}")
    if not value:
        raise RowError("the conversation is empty")
    messages = [_message(index, message) for index, message in enumerate(value)]
    first = int(messages[0]["role"] == "system")
    if len(messages) == first:
        raise RowError("the conversation holds nothing but a system message")
    for index, message in enumerate(messages[first:]):
        speaker = ("user", "assistant")[index % 2]
        if message["role"] != speaker:
            raise RowError(f"message {first + index} is by {message['role']!r}, but it is the turn of {speaker!r}")
    return messages


def _message(index: int, message: Any) -> Message:
    if not isinstance(message, dict):
        raise RowError(f"message {index} is no {{role, content}} but {type(message).__name__}")
    for key in ("role", "content"):
        if message.get(key) is None:
            raise RowError(f"message {index} has no {key}; its keys are {', '.join(map(repr, message)) or 'none'}")
        if not isinstance(message[key], str):
            raise RowError(f"the {key} of message {index} is no text but {type(message[key]).__name__}")
    if message["role"] not in SPEAKER:
        raise RowError(f"message {index} has the unknown role {message['role']!r}; known are {', '.join(SPEAKER)}")
    if not message["content"].strip():
        raise RowError(f"message {index} is empty")
    return {"role": message["role"], "content": message["content"]}
