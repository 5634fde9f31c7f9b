"""What the chosen latents are shown by: their top texts, and the tokens they promote and suppress, as tables."""

from functools import cache
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from crossdiff.activations.store import View
from crossdiff.attribution.directions import subset
from crossdiff.attribution.examples import Example, Tokens, examples, find_peaks
from crossdiff.attribution.logits import extremes, unembedding
from crossdiff.attribution.measure import Measured
from crossdiff.attribution.readings import halves, readings
from crossdiff.cli import progress
from crossdiff.dictionaries import Dictionary
from crossdiff.pair.blocks import decoder
from crossdiff.pair.load import Pair, Which
from crossdiff.parts.attribution import Attribution

TOKENS = 8
"""Promoted and suppressed tokens kept of a latent and model."""
MODELS: tuple[Which, ...] = ("base", "chat")
EXAMPLES: dict[str, Any] = {
    "latent": pl.UInt32, "rank": pl.UInt16, "bin": pl.UInt8, "among": pl.UInt32, "row": pl.UInt32,
    "position": pl.UInt32, "first": pl.UInt32,
    "source": pl.String, "behaviour": pl.String, "tokens": pl.List(pl.String), "activations": pl.List(pl.Float32),
    "activations_base": pl.List(pl.Float32), "activations_chat": pl.List(pl.Float32),
    "half_base": pl.Float32, "half_chat": pl.Float32,
}  # fmt: skip
HALVES = tuple(f"half_{which}" for which in MODELS)
PROMOTED: dict[str, Any] = {
    "latent": pl.UInt32, "model": pl.String, "side": pl.String, "rank": pl.UInt8, "token": pl.String,
    "logit": pl.Float32,
}  # fmt: skip


def example_table(
    dictionary: Dictionary,
    measured: Measured,
    latents: list[int],
    rows: pl.DataFrame,
    view: View,
    pair: Pair,
    mean_D: Tensor,
    chosen: Attribution,
) -> pl.DataFrame:
    """Examples of the chosen ``latents`` with the text of their tokens.

    Beside the activity stands what the latent makes of each model's stream alone, see `readings`, and of a crosscoder's
    latent what each model adds to its peak, see `halves`; ``mean_D`` is the base's mean activation.
    """
    tokenizer = pair.tokenizer()
    written = cache(lambda token: str(tokenizer.decode([token])))
    ids, source, behaviour = (
        dict(zip(rows["row"], rows[name], strict=True)) for name in ("ids", "source", "behaviour")
    )
    lengths = torch.zeros(1 + max(ids), dtype=torch.int64)
    lengths[rows["row"].to_torch().long()] = rows["ids"].list.len().to_torch().long()
    peaks = find_peaks(dictionary, latents, measured.row_N, view.blocks(chosen.batch))
    tokens = Tokens(measured.row_N.numpy(), measured.position_N.numpy(), lengths.numpy())
    device = dictionary.encoder.device

    def encode(places: Tensor, latent: int) -> Tensor:
        one = subset(dictionary, torch.tensor([latent], device=device))
        x_WLD = view.gather(places).to(device)
        found = readings(one, x_WLD, mean_D.to(device))
        return torch.cat([*found, *(halves(one, x_WLD) if one.kind == "crosscoder" else ())], 1).cpu()

    def record(example: Example) -> dict[str, Any]:
        around = ids[example.row][example.first : example.first + len(example.activations)]
        base, chat, *of_halves = example.readings
        at = example.position - example.first
        peak_halves: list[float | None] = [half[at] for half in of_halves] or [None, None]
        return {
            **{name: getattr(example, name) for name in ("latent", "rank", "bin", "among", "row", "position", "first")},
            "source": source[example.row],
            "behaviour": behaviour[example.row],
            "tokens": [written(token) for token in around],
            "activations": example.activations,
            "activations_base": base,
            "activations_chat": chat,
            **dict(zip(HALVES, peak_halves, strict=True)),
        }

    found: dict[str, list[Any]] = {name: [] for name in EXAMPLES}
    with progress(len(latents), "examples", "latent") as bar:
        last = None
        for example in examples(
            peaks, latents, tokens, chosen.examples, chosen.bin_examples, chosen.example_window, encode
        ):
            bar.update(example.latent != last)
            last = example.latent
            for name, value in record(example).items():
                found[name].append(value)
    numbers = [name for name in EXAMPLES if name.startswith("activations")]
    return pl.DataFrame(found, schema=EXAMPLES).with_columns(pl.col(numbers).list.eval(pl.element().fill_nan(None)))


def token_table(dictionary: Dictionary, latents: list[int], pair: Pair) -> pl.DataFrame:
    """Tokens that the chosen latents promote and suppress in each model.

    A crosscoder's row of that model is read by that model's head; the one row of an SAE by both.
    """
    tokenizer = pair.tokenizer()
    rows_LFD = dictionary.directions().cpu()
    found: list[dict[str, Any]] = []
    for number, which in enumerate(MODELS):
        model = pair.ends(which)
        rows_SD = rows_LFD[min(number, len(rows_LFD) - 1), latents]
        norm: Any = getattr(decoder(model), "norm", nn.Identity())
        head_VD = unembedding(model.get_output_embeddings(), norm)
        for side, (token_ST, logit_ST) in extremes(rows_SD, head_VD, TOKENS).items():
            for latent, tokens, logits in zip(latents, token_ST.tolist(), logit_ST.tolist(), strict=True):
                found += [
                    {"latent": latent, "model": which, "side": side, "rank": rank, "logit": logit,
                     "token": tokenizer.decode([token])}
                    for rank, (token, logit) in enumerate(zip(tokens, logits, strict=True))
                ]  # fmt: skip
    return pl.DataFrame(found, schema=PROMOTED)
