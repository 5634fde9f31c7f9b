"""A conversation or a text as token ids with a role for every token.

The chat template is rendered to a string once and that string is tokenised without adding special tokens, so the
template alone decides what the models read; then the row gets exactly one BOS (none if the tokenizer has none). Roles
come from the character spans of the messages in the string.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jinja2
from transformers import PreTrainedTokenizerBase

from crossdiff.corpus.roles import SPEAKER, Role
from crossdiff.errors import UserError

Message = Mapping[str, str]

DATE = "26 Jul 2024"
"""Given to templates that would print today's date (Llama 3.1 and later), so that rows do not depend on the day."""


class RowError(UserError):
    """A row that cannot be rendered, through a fault of the row's own."""


class Span(NamedTuple):
    """Characters ``start``..``end`` of a string hold the content of message ``message`` from its character ``skip``."""

    start: int
    end: int
    role: Role
    message: int = 0
    skip: int = 0


@dataclass(frozen=True)
class Composed:
    """A row as one string, and where the contents are in it."""

    text: str
    spans: list[Span]


class Place(NamedTuple):
    """Characters ``start``..``end`` of the content of message ``message`` that a token stands for; −1 for none."""

    message: int
    start: int
    end: int


NOWHERE = Place(-1, 0, 0)


@dataclass(frozen=True)
class Rendered:
    """A tokenised row: ids, roles (`Role`) and places, each of length T."""

    ids: list[int]
    roles: list[int]
    places: list[Place]

    def cut(self, context: int) -> "Rendered":
        """The first ``context`` tokens."""
        return Rendered(self.ids[:context], self.roles[:context], self.places[:context])

    def tokens(self, message: int, start: int, end: int) -> list[int]:
        """Positions of the tokens that overlap characters ``start``..``end`` of a message's content."""
        return [
            position
            for position, place in enumerate(self.places)
            if place.message == message and place.start < end and place.end > start
        ]


def render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], add_generation_prompt: bool = False
) -> Rendered:
    """Token ids and roles of a conversation, a list of {role, content}; untruncated.

    ``add_generation_prompt`` adds the header of an answer. RowError if the template refuses the conversation or
    changes the text of a message other than by stripping it.
    """
    return tokenise(tokenizer, [compose(tokenizer, messages, add_generation_prompt)])[0]


def plain(text: str) -> Composed:
    """Plain text as a row."""
    return Composed(text, [Span(0, len(text), Role.TEXT)])


def compose(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], add_generation_prompt: bool = False
) -> Composed:
    """A conversation as the chat template writes it, with the spans of its contents."""
    text = _template(tokenizer, messages, add_generation_prompt)
    # The same conversation with marks for contents shows what the template itself writes before and after each one.
    # Searching for the contents would not do: a message "user" is found in the header before it.
    marked = [{**message, "content": _mark(index)} for index, message in enumerate(messages)]
    rest = _template(tokenizer, marked, add_generation_prompt)
    parts = []
    for index in range(len(messages)):
        part, found, rest = rest.partition(_mark(index))
        if not found:
            raise RowError(f"the chat template leaves out message {index} (role {messages[index]['role']!r})")
        parts.append(part)
    parts.append(rest)
    spans: list[Span] = []
    for index, message in enumerate(messages):
        content = message["content"]
        cursor = spans[-1].end if spans else 0
        place = _place(text, cursor, parts[index], content, parts[index + 1])
        if place is None:
            raise RowError(
                f"the chat template changes the text of message {index}; its tokens cannot be told from the template's"
            )
        skip = content.find(text[slice(*place)])
        spans.append(Span(*place, role=SPEAKER[message["role"]], message=index, skip=skip))
    return Composed(text, spans)


def _mark(index: int) -> str:
    return f"\x00{index}\x00"


def _place(text: str, cursor: int, before: str, content: str, after: str) -> tuple[int, int] | None:
    """Where ``content``, as it is or stripped, stands between ``before`` and ``after``; None if it does not."""
    start = cursor + len(before)
    if not text.startswith(before, cursor):
        return None
    for version in (content, content.strip(), content.lstrip(), content.rstrip()):
        end = start + len(version)
        if text.startswith(version, start) and text.startswith(after, end):
            return start, end
    return None


def _template(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], add_generation_prompt: bool) -> str:
    if not tokenizer.chat_template:
        raise UserError(
            "pair.chat: the tokenizer has no chat template; give a Jinja file as pair.chat.chat_template"
            " or leave conversations out of corpus.sources"
        )
    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            date_string=DATE,
        )
    except jinja2.TemplateError as error:
        raise RowError(f"the chat template refuses the conversation: {error}") from None
    return str(text)


def tokenise(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Composed]) -> list[Rendered]:
    """Tokenise rows in one batch; a token belongs to a content if it overlaps it, else to the template."""
    if not tokenizer.is_fast:
        raise UserError(
            f"pair.chat: {type(tokenizer).__name__} gives no character offsets; use a model with a fast tokenizer"
        )
    encoded = tokenizer(
        [row.text for row in rows], add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    return [
        one_bos(_rendered(row, ids, offsets), tokenizer.bos_token_id)
        for row, ids, offsets in zip(rows, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def _rendered(row: Composed, ids: list[int], offsets: list[tuple[int, int]]) -> Rendered:
    roles, places = [int(Role.TEMPLATE)] * len(ids), [NOWHERE] * len(ids)
    spans = iter(row.spans)
    span = next(spans, None)
    for position, (start, end) in enumerate(offsets):
        while span is not None and start >= span.end:
            span = next(spans, None)
        if span is None:
            break
        if end > span.start:
            shift = span.skip - span.start
            roles[position] = int(span.role)
            places[position] = Place(span.message, max(start, span.start) + shift, min(end, span.end) + shift)
    return Rendered(ids, roles, places)


def one_bos(row: Rendered, bos: int | None) -> Rendered:
    """The row with exactly one BOS at its start: added if missing, merged if the template writes more."""
    if bos is None:
        return row
    leading = next((n for n, token in enumerate(row.ids) if token != bos), len(row.ids))
    return Rendered([bos, *row.ids[leading:]], [int(Role.BOS), *row.roles[leading:]], [NOWHERE, *row.places[leading:]])
