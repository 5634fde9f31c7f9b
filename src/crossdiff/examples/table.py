"""Examples as a table: the kept rows of each latent with the text around its peak, and what it makes of each model."""

from functools import cache
from typing import Any

import polars as pl
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from crossdiff.activations.places import lengths, places
from crossdiff.activations.store import View
from crossdiff.attribution.directions import subset
from crossdiff.cli import progress
from crossdiff.dictionaries import Dictionary
from crossdiff.examples.readings import halves, readings
from crossdiff.examples.windows import Encode, Example, Tokens, examples, find_peaks
from crossdiff.parts.examples import Examples

BATCH = 2048
"""Tokens whose activity is held at once."""
TABLE: dict[str, Any] = {
    "latent": pl.UInt32, "rank": pl.UInt16, "bin": pl.UInt8, "among": pl.UInt32, "row": pl.UInt32,
    "position": pl.UInt32, "first": pl.UInt32,
    "source": pl.String, "behaviour": pl.String, "tokens": pl.List(pl.String), "activations": pl.List(pl.Float32),
    "activations_base": pl.List(pl.Float32), "activations_chat": pl.List(pl.Float32),
    "half_base": pl.Float32, "half_chat": pl.Float32,
}  # fmt: skip
HALVES = ("half_base", "half_chat")
MARKS = ("latent", "rank", "bin", "among", "row", "position", "first", "activations")
"""Fields of an `Example` that are columns as they are."""


def stand(view: View, rows: pl.DataFrame) -> Tokens:
    """Where the tokens of a view stand in ``rows``, which has the columns row and ids."""
    row_N, position_N = places(view)
    lengths_R = lengths(rows["row"].to_torch(), rows["ids"].list.len().to_torch(), len(view.activations.split_R))
    return Tokens(row_N.numpy(), position_N.numpy(), lengths_R.numpy())


def reader(dictionary: Dictionary, view: View, mean_D: Tensor) -> Encode:
    """Activity of a latent on given tokens, then its `readings`, and of a crosscoder its `halves`, on the CPU."""
    device = dictionary.encoder.device
    mean_D = mean_D.to(device)

    def encode(places: Tensor, latent: int) -> Tensor:
        one = subset(dictionary, torch.tensor([latent], device=device))
        x_WLD = view.gather(places).to(device)
        found = readings(one, x_WLD, mean_D)
        return torch.cat([*found, *(halves(one, x_WLD) if one.kind == "crosscoder" else ())], 1).cpu()

    return encode


def example_table(
    dictionary: Dictionary,
    latents: list[int],
    rows: pl.DataFrame,
    view: View,
    tokenizer: PreTrainedTokenizerBase,
    mean_D: Tensor,
    chosen: Examples,
) -> pl.DataFrame:
    """Examples of the chosen ``latents`` on the tokens of ``view``, with their text.

    ``rows`` has the columns row, ids, source and behaviour; ``mean_D`` is the base's mean activation.
    """
    written = cache(lambda token: str(tokenizer.decode([token])))
    of_row = {row["row"]: row for row in rows.iter_rows(named=True)}
    tokens = stand(view, rows)
    peaks = find_peaks(dictionary, latents, torch.from_numpy(tokens.row_N), view.blocks(BATCH))
    kept = examples(
        peaks, latents, tokens, chosen.strongest, chosen.each_bin, chosen.window, reader(dictionary, view, mean_D)
    )
    found: dict[str, list[Any]] = {name: [] for name in TABLE}
    with progress(len(latents), "examples", "latent") as bar:
        for example in kept:
            bar.update(example.rank == 0)
            for name, value in record(example, of_row[example.row], written).items():
                found[name].append(value)
    numbers = [name for name in TABLE if name.startswith("activations")]
    return pl.DataFrame(found, schema=TABLE).with_columns(pl.col(numbers).list.eval(pl.element().fill_nan(None)))


def record(example: Example, row: dict[str, Any], written: Any) -> dict[str, Any]:
    """One row of the table; ``written`` gives a token's text."""
    around = row["ids"][example.first : example.first + len(example.activations)]
    base, chat, *of_halves = example.readings
    at = example.position - example.first
    peak_halves: list[float | None] = [half[at] for half in of_halves] or [None, None]
    return {
        **{name: getattr(example, name) for name in MARKS},
        "source": row["source"],
        "behaviour": row["behaviour"],
        "tokens": [written(token) for token in around],
        "activations_base": base,
        "activations_chat": chat,
        **dict(zip(HALVES, peak_halves, strict=True)),
    }
