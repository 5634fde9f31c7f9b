"""Texts on which latents are active, packed: tokens by number, activations as one letter each."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from crossdiff.report.collect import Run

EXAMPLES = 5
"""Examples of a latent, at most."""
LEVELS = 62
"""Steps between 0 and a latent's largest activation that are told apart."""
LETTERS = "".join(map(chr, [*range(48, 58), *range(65, 91), *range(97, 123)])) + "-"
"""One letter a level, 0 first; the last one is more than any level."""
MASKED = "."
OTHER = ("activations_base", "activations_chat")


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


def examples(run: Run, latents: set[int], roles: pl.DataFrame, words: Vocabulary) -> dict[int, list[dict[str, Any]]]:
    """The top examples of each of ``latents`` that has any; ``roles`` has the columns row and roles."""
    kept = run.examples.filter((pl.col("rank") < EXAMPLES) & pl.col("latent").is_in(list(latents)))
    table = kept.sort("latent", "rank").join(roles, on="row", how="left", maintain_order="left")
    found: dict[int, list[dict[str, Any]]] = {}
    for row in table.iter_rows(named=True):
        found.setdefault(row["latent"], []).append(packed(row, words))
    return found


def packed(row: dict[str, Any], words: Vocabulary) -> dict[str, Any]:
    """One example."""
    first, end = row["first"], row["first"] + len(row["tokens"])
    peak = row["activations"][row["position"] - first] or 1.0
    example = {
        "row": row["row"],
        "at": row["position"] - first,
        "first": first,
        "more": int(end < len(row["roles"])),
        "from": row["source"] if row["behaviour"] is None else f"{row['source']}: {row['behaviour']}",
        "peak": float(f"{peak:.4g}"),
        "tokens": [words.number(token) for token in row["tokens"]],
        "roles": "".join(str(role) for role in row["roles"][first:end]),
        "levels": levels(row["activations"], peak),
    }
    if all(row.get(name) is not None for name in OTHER):
        example["others"] = [levels(row[name], peak) for name in OTHER]
        example["atTop"] = [float(f"{row[name][example['at']]:.4g}") for name in OTHER]
    return example
