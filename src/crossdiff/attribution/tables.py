"""The latent table and those beside it, as polars frames: twins, template slots, and when latents fire."""

from collections.abc import Callable
from typing import Any

import polars as pl
import torch
from torch import Tensor

from crossdiff.activations.store import View
from crossdiff.attribution.directions import subset
from crossdiff.attribution.firing import Firing
from crossdiff.attribution.measure import Column, Measured
from crossdiff.attribution.overall import of_class
from crossdiff.attribution.template import Slots
from crossdiff.attribution.twins import Pairs, Together, alike, count, false_twins, one_to_one
from crossdiff.dictionaries import Dictionary

SEED = 0
"""Of false twins."""
TWINS = {
    "kind": pl.String, "chat": pl.UInt32, "base": pl.UInt32, "cosine": pl.Float32, "divergence": pl.Float64,
    "chat_given_base": pl.Float64, "base_given_chat": pl.Float64,
    **{f"tokens_{name}": pl.Int64 for name in ("chat", "base", "both", "high", "apart")},
}  # fmt: skip


def per_latent(columns_: dict[str, Column], latents: int) -> pl.DataFrame:
    """The latent table; what is not defined is null."""
    data: dict[str, Any] = {"latent": pl.Series(range(latents), dtype=pl.UInt32)}
    for name, column in columns_.items():
        if column is None:
            data[name] = pl.Series([None] * latents, dtype=pl.String if name == "class" else pl.Float32)
        elif isinstance(column, torch.Tensor):
            series = pl.Series(column.cpu().numpy())
            data[name] = series.fill_nan(None) if series.dtype.is_float() else series
        else:
            data[name] = column
    return pl.DataFrame(data)


def twins(dictionary: Dictionary, columns: dict[str, Column], view: View, least: float, batch: int) -> pl.DataFrame:
    """Twin pairs of a crosscoder, and their false twins, with how they are active; empty for an SAE.

    Activations are read once more, for the latents of the pairs alone, and only if there are any.
    """
    if dictionary.kind != "crosscoder":
        return pl.DataFrame(schema=TWINS)
    device = dictionary.decoder.device
    chat_C, base_E = (of_class(columns, name).to(device) for name in ("chat-only", "base-only"))
    pairs = one_to_one(alike(dictionary.decoder, chat_C, base_E, least))
    false = false_twins(pairs, dictionary.decoder, chat_C, SEED)
    both = Pairs(*(torch.cat(parts) for parts in zip(pairs, false, strict=True)))
    if not len(both.chat_P):
        return pl.DataFrame(schema=TWINS)
    used_U, place_2P = torch.unique(torch.stack([both.chat_P, both.base_P]), return_inverse=True)
    part = subset(dictionary, used_U)
    weight_U, maximum_F = part.score_weight(), columns["max"]
    assert isinstance(maximum_F, Tensor)

    def activity(x_BLD: Tensor) -> Tensor:
        return part.encode(part.read(x_BLD.to(device))) * weight_U

    together = Together(place_2P[0], place_2P[1], maximum_F[used_U])
    counted = count(together, (activity(block.x_BLD) for block in view.blocks(batch))).columns()
    data = {name: column.cpu().numpy() for name, column in counted.items()}
    data |= {"chat": both.chat_P.cpu().numpy(), "base": both.base_P.cpu().numpy()}
    data |= {"cosine": both.cosine_P.cpu().numpy()}
    kinds = ["twin"] * len(pairs.chat_P) + ["false"] * len(false.chat_P)
    frame = pl.DataFrame({"kind": kinds, **data}).select(pl.col(name).cast(kind) for name, kind in TWINS.items())
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def template(measured: Measured, slots: Slots, decode: Callable[[list[int]], str]) -> pl.DataFrame:
    """One row for each latent and slot of the template in which it is active.

    ``share`` is over the latent's active tokens, ``rate`` over the slot's tokens.
    """
    use = measured.slots
    active_PF, tokens_P = use.active_PF.cpu(), use.tokens_P.cpu()
    slot_M, latent_M = active_PF.nonzero(as_tuple=True)
    active_M = active_PF[slot_M, latent_M]
    all_F = measured.usage.source_SF.sum(0).cpu()
    labels = pl.DataFrame(
        {
            "slot": pl.Series(range(slots.count), dtype=pl.Int64),
            "before": pl.Series(slots.before_P, dtype=pl.String),
            "after": pl.Series(slots.after_P, dtype=pl.String),
            "place": pl.Series(slots.place_P, dtype=pl.UInt8),
            "token": pl.Series([decode([token]) for token in slots.token_P], dtype=pl.String),
        }
    )
    found = pl.DataFrame(
        {
            "latent": pl.Series(latent_M.numpy(), dtype=pl.UInt32),
            "slot": pl.Series(slot_M.numpy(), dtype=pl.Int64),
            "active": pl.Series(active_M.numpy(), dtype=pl.Int64),
            "share": pl.Series((active_M / all_F[latent_M]).numpy(), dtype=pl.Float32),
            "rate": pl.Series((active_M / tokens_P[slot_M]).numpy(), dtype=pl.Float32),
        }
    )
    joined = found.join(labels, on="slot", how="left", maintain_order="left").drop("slot")
    return joined.sort("latent", "active", descending=[False, True], maintain_order=True)


def firing(gathered: Firing) -> pl.DataFrame:
    """One row an entry, by latent and token: latent, token (its number in the split), level (1 to 255)."""
    kinds = {"token": pl.UInt32, "latent": pl.UInt32, "level": pl.UInt8}
    columns = zip(kinds.items(), gathered.entries(), strict=True)
    frame = pl.DataFrame({name: pl.Series(entry.numpy(), dtype=kind) for (name, kind), entry in columns})
    return frame.sort("latent", "token")
