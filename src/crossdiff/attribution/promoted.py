"""The tokens that every latent promotes and suppresses in each model, as a table."""

from functools import cache
from typing import Any

import polars as pl
from torch import nn

from crossdiff.attribution.logits import extremes, unembedding
from crossdiff.cli import progress
from crossdiff.dictionaries import Dictionary
from crossdiff.pair.blocks import decoder
from crossdiff.pair.load import Pair, Which

TOKENS = 8
"""Promoted and suppressed tokens kept of a latent and model."""
TOGETHER = 256
"""Latents whose logits are held at once."""
MODELS: tuple[Which, ...] = ("base", "chat")
PROMOTED: dict[str, Any] = {
    "latent": pl.UInt32, "model": pl.String, "side": pl.String, "rank": pl.UInt8, "token": pl.String,
    "logit": pl.Float32,
}  # fmt: skip


def token_table(dictionary: Dictionary, latents: list[int], pair: Pair) -> pl.DataFrame:
    """Tokens that the chosen latents promote and suppress in each model.

    A crosscoder's row of that model is read by that model's head; the one row of an SAE by both.
    """
    tokenizer = pair.tokenizer()
    written = cache(lambda token: str(tokenizer.decode([token])))
    rows_LFD = dictionary.directions()
    found: list[tuple[Any, ...]] = []
    with progress(len(MODELS) * len(latents), "promoted tokens", "latent") as bar:
        for number, which in enumerate(MODELS):
            model = pair.ends(which)
            norm: Any = getattr(decoder(model), "norm", nn.Identity())
            head_VD = unembedding(model.get_output_embeddings(), norm).to(rows_LFD.device)
            rows_FD = rows_LFD[min(number, len(rows_LFD) - 1)]
            for first in range(0, len(latents), TOGETHER):
                some = latents[first : first + TOGETHER]
                for side, (token_ST, logit_ST) in extremes(rows_FD[some], head_VD, TOKENS).items():
                    for latent, tokens, logits in zip(some, token_ST.tolist(), logit_ST.tolist(), strict=True):
                        pairs = enumerate(zip(tokens, logits, strict=True))
                        found += [(latent, which, side, rank, written(token), logit) for rank, (token, logit) in pairs]
                bar.update(len(some))
    return pl.DataFrame(found, schema=PROMOTED, orient="row")
