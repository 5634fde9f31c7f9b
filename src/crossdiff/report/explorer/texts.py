"""Texts on which latents are active, packed: tokens by number, activations as one letter each."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from crossdiff.report.collect import Run

EACH = 4
"""Examples of one bin of a latent's activity, at most: the strongest there, or those that were drawn."""
LEVELS = 62
"""Steps between 0 and a latent's largest activation that are told apart."""
LETTERS = "".join(map(chr, [*range(48, 58), *range(65, 91), *range(97, 123)])) + "-"
"""One letter a level, 0 first; the last one is more than any level."""
MASKED = "."
ALPHABET = np.frombuffer((LETTERS + MASKED).encode(), np.uint8)
FIELDS = ("bin", "among", "row", "first", "at", "peak", "most", "onBase", "onChat", "levels", "base", "chat", "halves")
"""Of an example: its bin and how many texts are in it; row, first position and place of the peak in the window; the
activation there, the largest of it and the models' readings in the window, and those readings at the peak; the
activations as shares of the peak, and the models' readings as shares of the largest; what each model adds to the peak
of a crosscoder's latent, else None."""
READINGS = {"levels": "activations", "base": "activations_base", "chat": "activations_chat"}
"""Field -> column of a list of values, one a token."""


@dataclass
class Vocabulary:
    """Every distinct text once."""

    texts: list[str] = field(default_factory=list)
    _place: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """The text's number; a new text gets the next one."""
        if text not in self._place:
            self._place[text] = len(self.texts)
            self.texts.append(text)
        return self._place[text]


def levels(values: pl.Series, peak: pl.Series) -> list[str]:
    """Each list of values as letters: shares of its ``peak`` in ``LEVELS`` steps, negative ones 0, null masked."""
    length = values.list.len().to_numpy()
    share = values.explode().cast(pl.Float64).to_numpy() / np.repeat(peak.to_numpy(), length)
    step = np.rint(np.clip(share, 0, 1) * LEVELS)
    letters = ALPHABET[np.where(np.isnan(step), len(LETTERS), step).astype(int)].tobytes().decode()
    end = np.cumsum(length)
    return [letters[first:last] for first, last in zip(end - length, end, strict=True)]


@dataclass
class Texts:
    """Every text of which an example shows some tokens, once, however many latents are active on it."""

    roles: pl.DataFrame
    """Columns row and roles."""
    words: Vocabulary = field(default_factory=Vocabulary)
    rows: dict[int, list[Any]] = field(default_factory=dict)
    """By row: where it is from, the role of each token as a digit, and the number of each shown token, else 0."""

    def add(self, row: dict[str, Any]) -> None:
        """Note the tokens of an example."""
        if row["row"] not in self.rows:
            where = row["source"] if row["behaviour"] is None else f"{row['source']}: {row['behaviour']}"
            self.rows[row["row"]] = [where, "".join(map(str, row["roles"])), [0] * len(row["roles"])]
        first, end = row["first"], row["first"] + len(row["tokens"])
        self.rows[row["row"]][2][first:end] = map(self.words.number, row["tokens"])


def examples(run: Run, latents: set[int], texts: Texts) -> dict[int, list[list[Any]]]:
    """The examples of each of ``latents`` that has any, most active first, as values of `FIELDS`."""
    table = run.examples.filter(pl.col("latent").is_in(list(latents))).sort("latent", "rank")
    kept = table.filter(pl.int_range(pl.len()).over("latent", "bin") < EACH)
    found: dict[int, list[list[Any]]] = {}
    for row in packed(kept.join(texts.roles, on="row", how="left", maintain_order="left")).iter_rows(named=True):
        texts.add(row)
        halves = None if row["half_base"] is None else [rounded(row["half_base"]), rounded(row["half_chat"])]
        numbers = [rounded(row[name]) for name in ("peak", "most", "onBase", "onChat")]
        marks = [row[name] for name in ("bin", "among", "row", "first", "at")]
        found.setdefault(row["latent"], []).append([*marks, *numbers, row["levels"], row["base"], row["chat"], halves])
    return found


def packed(table: pl.DataFrame) -> pl.DataFrame:
    """Examples with the columns at, peak, most, onBase, onChat, and their activations as the letters of `levels`."""
    table = table.with_columns(at=pl.col("position") - pl.col("first"))
    there = {name: pl.col(column).list.get(pl.col("at")) for name, column in READINGS.items()}
    table = table.with_columns(
        peak=pl.when(there["levels"] != 0).then(there["levels"]).otherwise(1.0),
        onBase=there["base"],
        onChat=there["chat"],
    )
    most = pl.max_horizontal("peak", *(pl.col(READINGS[model]).list.max() for model in ("base", "chat")))
    table = table.with_columns(most=most)
    letters = [
        pl.Series(name, levels(table[column], table["peak" if name == "levels" else "most"]), pl.String)
        for name, column in READINGS.items()
    ]
    return table.with_columns(letters).drop(READINGS.values())


def rounded(value: float) -> float:
    """Cut to four significant digits."""
    return float(f"{value:.4g}")
