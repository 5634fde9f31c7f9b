"""Texts on which latents are active, packed: tokens by number, activations as one letter each."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from crossdiff.report.collect import Run

EACH = 4
"""Examples of one bin of a latent's activity, at most: the strongest there, or those that were drawn."""
LEVELS = 62
"""Steps between 0 and a latent's largest activation that are told apart."""
LETTERS = "".join(map(chr, [*range(48, 58), *range(65, 91), *range(97, 123)])) + "-"
"""One letter a level, 0 first; the last one is more than any level."""
MASKED = "."
FIELDS = ("bin", "among", "row", "first", "at", "peak", "most", "onBase", "onChat", "levels", "base", "chat", "halves")
"""Of an example: its bin and how many texts are in it; row, first position and place of the peak in the window; the
activation there, the largest of it and the models' readings in the window, and those readings at the peak; the
activations as shares of the peak, and the models' readings as shares of the largest; what each model adds to the peak
of a crosscoder's latent, else None."""
MODELS = ("activations_base", "activations_chat")


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


def levels(values: Iterable[float | None], peak: float) -> str:
    """Each value as a letter: its share of ``peak`` in ``LEVELS`` steps, negative ones as 0, None as masked."""
    return "".join(
        MASKED if value is None else LETTERS[round(min(1.0, max(0.0, value / peak)) * LEVELS)] for value in values
    )


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
    for row in kept.join(texts.roles, on="row", how="left", maintain_order="left").iter_rows(named=True):
        texts.add(row)
        found.setdefault(row["latent"], []).append(packed(row))
    return found


def packed(row: dict[str, Any]) -> list[Any]:
    """One example."""
    at = row["position"] - row["first"]
    peak = row["activations"][at] or 1.0
    readings = [row[name] for name in MODELS]
    most = max(peak, *(value for reading in readings for value in reading if value is not None))
    numbers = [rounded(value) for value in (peak, most, *(reading[at] for reading in readings))]
    marks = [row["bin"], row["among"], row["row"], row["first"], at, *numbers]
    halves = None if row["half_base"] is None else [rounded(row["half_base"]), rounded(row["half_chat"])]
    return [*marks, levels(row["activations"], peak), *(levels(reading, most) for reading in readings), halves]


def rounded(value: float) -> float:
    """Cut to four significant digits."""
    return float(f"{value:.4g}")
