"""Which latents get texts: every called one, and the first of several orders in turns."""

from collections.abc import Iterable, Sequence
from itertools import chain, islice, zip_longest

import polars as pl
import torch
from torch import Tensor

from crossdiff.attribution.order import call_order, chat_order
from crossdiff.evidence.calls.honesty import CALLS


def called(calls: pl.DataFrame) -> list[int]:
    """Latents of one seed that it, or more than half of all seeds, call anything; ``calls`` is that seed's table."""
    columns = [name for name in ("call", "consensus_call") if name in calls.columns]
    return sorted(calls.filter(pl.any_horizontal(pl.col(columns).is_in(CALLS)))["latent"].to_list())


def orders(latents: pl.DataFrame, kind: str) -> list[Tensor]:
    """Orders [F] of a latent table sorted by latent, lowest first: nearest to a call, lowest |ν|, most frequent.

    NaN for latents that have no place in an order; the dead have none.
    """
    numbers = {
        name: latents[name].cast(pl.Float64).fill_null(float("nan")).to_torch()
        for name in latents.columns
        if latents[name].dtype.is_float()
    }
    flags = {name: latents[name].to_torch() for name in latents.columns if latents[name].dtype == pl.Boolean}
    known = numbers | flags
    found = (call_order(known, kind), chat_order(known, kind == "crosscoder"), -numbers["frequency"])
    return [torch.where(flags["dead"], torch.nan, order_F) for order_F in found]


def choose(first: Iterable[int], orders_: Sequence[Tensor], count: int) -> list[int]:
    """All of ``first`` and ``count`` others, ascending: in turns the next by each of the orders [F], lowest first.

    NaN is never chosen.
    """
    ranked = [torch.argsort(order_F, stable=True)[: int((~order_F.isnan()).sum())].tolist() for order_F in orders_]
    kept = set(first)
    turns = chain.from_iterable(zip_longest(*ranked))
    others = dict.fromkeys(latent for latent in turns if latent is not None and latent not in kept)
    return sorted(kept | set(islice(others, count)))
