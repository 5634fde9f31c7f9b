"""Rows of a study: rendered from its sources, split, without duplicates, in a seeded order."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
import polars as pl
from transformers import PreTrainedTokenizerBase

from crossdiff.corpus.read import Record, checked
from crossdiff.corpus.render import Composed, Rendered, RowError, compose, plain, tokenise
from crossdiff.errors import UserError
from crossdiff.parts.corpus import Corpus, CorpusSource

PLANTED = "planted"
USES = {"select": "train", "score": "validation"}
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.UInt32,
    "split": pl.String,
    "source": pl.String,
    "behaviour": pl.String,
    "use": pl.String,
    "ids": pl.List(pl.UInt32),
    "roles": pl.List(pl.UInt8),
}
ANSWERED = ("behaviour", "kind", "use", "prompt", "answer_chat")
"""Columns of answers.parquet that the planted rows are made of."""
BATCH = 256


class Tokens(NamedTuple):
    """What a row holds: ids u32 [T] and roles u8 [T]."""

    ids: np.ndarray
    roles: np.ndarray

    def fingerprint(self) -> bytes:
        """Content hash of the row as the models read it."""
        return hashlib.blake2b(self.ids.tobytes(), digest_size=16).digest()


class Row(NamedTuple):
    """A row before it has its number."""

    split: str
    source: str
    behaviour: str | None
    use: str | None
    ids: np.ndarray
    roles: np.ndarray


@dataclass
class Collected:
    """Rows of one source, and what was left out."""

    rows: list[Tokens] = field(default_factory=list)
    tokens: int = 0
    read: int = 0
    duplicates: int = 0
    ill_formed: int = 0


def tokens(row: Rendered, context: int) -> Tokens:
    """The first ``context`` tokens of a row."""
    row = row.cut(context)
    return Tokens(np.array(row.ids, np.uint32), np.array(row.roles, np.uint8))


def collect(
    source: CorpusSource,
    stream: Iterable[Record],
    tokenizer: PreTrainedTokenizerBase,
    context: int,
    needed: int,
    seen: set[bytes],
    advance: Callable[[int], object],
) -> Collected:
    """Rows of ``source`` until they hold ``needed`` tokens; rows whose fingerprint is in ``seen`` are left out.

    ``seen`` grows by the rows taken. ``advance`` is told the tokens of each row. UserError if there are too few tokens,
    or at the first ill-formed row if the source refuses them.
    """
    found = Collected()
    composed = _composed(source, stream, tokenizer, found)
    while batch := list(islice(composed, BATCH)):
        for rendered in tokenise(tokenizer, batch):
            row = tokens(rendered, context)
            mark = row.fingerprint()
            if mark in seen:
                found.duplicates += 1
                continue
            seen.add(mark)
            found.rows.append(row)
            found.tokens += len(row.ids)
            advance(len(row.ids))
            if found.tokens >= needed:
                return found
    raise UserError(
        f"corpus.sources.{source.name}: {found.tokens:,} tokens found in {len(found.rows):,} rows ({found.duplicates:,}"
        f" duplicates and {found.ill_formed:,} ill-formed rows left out), {needed:,} needed; give more rows, or lower"
        " its share, corpus.train_tokens or corpus.validation_tokens"
    )


def _composed(
    source: CorpusSource, stream: Iterable[Record], tokenizer: PreTrainedTokenizerBase, found: Collected
) -> Iterator[Composed]:
    for number, value in stream:
        found.read += 1
        try:
            content = checked(value)
            yield plain(content) if isinstance(content, str) else compose(tokenizer, content)
        except RowError as fault:
            if source.ill_formed == "refuse":
                raise UserError(
                    f"corpus.sources.{source.name}: row {number} (counted from 0) of {source.path}, column"
                    f" {source.column!r}: {fault}; mend the row, or set ill_formed: skip"
                ) from None
            found.ill_formed += 1


def split(rows: list[Tokens], source: str, validation: int, seed: int) -> list[Row]:
    """Rows of one source with their split: drawn by ``seed`` for validation until ``validation`` tokens, else train."""
    order = np.random.default_rng([seed, zlib.crc32(source.encode())]).permutation(len(rows))
    lengths = np.array([len(rows[index].ids) for index in order])
    held_out = np.cumsum(lengths) - lengths < validation
    return [
        Row("validation" if out else "train", source, None, None, *rows[index])
        for index, out in zip(order, held_out, strict=True)
    ]


def planted(answers: pl.DataFrame, tokenizer: PreTrainedTokenizerBase, context: int, seen: set[bytes]) -> list[Row]:
    """Held-out prompts of planted behaviours with the tuned model's answers; those to select with go to training."""
    chosen = answers.filter(kind="held-out").filter(pl.col("answer_chat").str.strip_chars() != "")
    if chosen.is_empty():
        return []
    composed = [
        compose(tokenizer, [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])
        for prompt, answer in chosen.select("prompt", "answer_chat").iter_rows()
    ]
    rows = []
    labels = chosen.select("behaviour", "use").iter_rows()
    for (behaviour, use), rendered in zip(labels, tokenise(tokenizer, composed), strict=True):
        row = tokens(rendered, context)
        if row.fingerprint() not in seen:
            seen.add(row.fingerprint())
            rows.append(Row(USES[use], PLANTED, behaviour, use, *row))
    return rows


def needs(corpus: Corpus, source: CorpusSource) -> tuple[int, int]:
    """Training and validation tokens that a source has to give."""
    return round(corpus.train_tokens * source.share), round(corpus.validation_tokens * source.share)


def table(rows: list[Row], seed: int) -> pl.DataFrame:
    """rows.parquet: all rows in an order drawn by ``seed``, numbered."""
    order = np.random.default_rng(seed).permutation(len(rows))
    columns = list(zip(*(rows[index] for index in order), strict=True))
    return pl.DataFrame(
        {"row": np.arange(len(rows), dtype=np.uint32), **dict(zip(Row._fields, columns, strict=True))}, schema=SCHEMA
    )


def summary(rows: pl.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Rows and tokens by split and source."""
    lengths = rows.select("split", "source", tokens=pl.col("ids").list.len())
    counted = lengths.group_by("split", "source").agg(pl.len(), pl.col("tokens").sum())
    numbers: dict[str, dict[str, dict[str, int]]] = {}
    for part, source, count, tokens in counted.sort("split", "source").iter_rows():
        numbers.setdefault(part, {})[source] = {"rows": count, "tokens": tokens}
    return numbers
