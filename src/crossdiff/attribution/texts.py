"""What the chosen latents are shown by: their top texts, and the tokens they promote and suppress, as tables."""

from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from crossdiff.activations.store import View
from crossdiff.attribution.directions import subset
from crossdiff.attribution.examples import Example, examples
from crossdiff.attribution.logits import extremes, unembedding
from crossdiff.attribution.measure import Measured
from crossdiff.cli import progress
from crossdiff.dictionaries import Dictionary
from crossdiff.pair.blocks import decoder
from crossdiff.pair.load import Pair, Which

TOKENS = 8
"""Promoted and suppressed tokens kept of a latent and model."""
MODELS: tuple[Which, ...] = ("base", "chat")
EXAMPLES: dict[str, Any] = {
    "latent": pl.UInt32, "rank": pl.UInt8, "row": pl.UInt32, "position": pl.UInt32, "first": pl.UInt32,
    "source": pl.String, "behaviour": pl.String, "tokens": pl.List(pl.String), "activations": pl.List(pl.Float32),
    "activations_base": pl.List(pl.Float32), "activations_chat": pl.List(pl.Float32),
}  # fmt: skip
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
    window: int,
) -> pl.DataFrame:
    """Examples of the chosen latents with the text of their tokens.

    Beside the activity stands what it would be had both models the base's stream, and the chat's. It is null for a
    diff-SAE: of two equal streams there is no difference to read.
    """
    part = subset(dictionary, torch.tensor(latents, device=dictionary.encoder.device))
    place = {latent: number for number, latent in enumerate(latents)}
    tokenizer = pair.tokenizer()
    ids, source, behaviour = (
        dict(zip(rows["row"], rows[name], strict=True)) for name in ("ids", "source", "behaviour")
    )
    lengths = torch.zeros(1 + max(ids), dtype=torch.int64)
    lengths[rows["row"].to_torch().long()] = rows["ids"].list.len().to_torch().long()

    def encode(places: Tensor, latent: int) -> Tensor:
        x_WLD = view.gather(places).to(part.encoder.device)
        return torch.stack([activity_WS[:, place[latent]] for activity_WS in readings(part, x_WLD)], 1).cpu()

    def record(example: Example) -> dict[str, Any]:
        tokens = ids[example.row][example.first : example.first + len(example.activations)]
        base, chat = example.readings or (None, None)
        return {
            "latent": example.latent,
            "rank": example.rank,
            "row": example.row,
            "position": example.position,
            "first": example.first,
            "source": source[example.row],
            "behaviour": behaviour[example.row],
            "tokens": [tokenizer.decode([token]) for token in tokens],
            "activations": example.activations,
            "activations_base": base,
            "activations_chat": chat,
        }

    found: list[dict[str, Any]] = []
    with progress(len(latents), "examples", "latent") as bar:
        last = None
        for example in examples(measured.top, latents, measured.row_N, measured.position_N, lengths, window, encode):
            bar.update(example.latent != last)
            last = example.latent
            found.append(record(example))
    numbers = [name for name in EXAMPLES if name.startswith("activations")]
    return pl.DataFrame(found, schema=EXAMPLES).with_columns(pl.col(numbers).list.eval(pl.element().fill_nan(None)))


def readings(dictionary: Dictionary, x_WLD: Tensor) -> list[Tensor]:
    """Activity [W, F] on a pair's activations [W, 2, D]; then on twice the base's stream, and on twice the chat's.

    A diff-SAE has only the first.
    """
    streams = [x_WLD]
    if dictionary.kind != "diff-sae":
        streams += [x_WLD[:, [model, model]] for model in (0, 1)]
    weight_F = dictionary.score_weight()
    return [dictionary.encode(dictionary.read(stream_WLD)) * weight_F for stream_WLD in streams]


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
