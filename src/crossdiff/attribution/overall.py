"""The table of numbers over all live latents of a dictionary: what `crossdiff.attribution.comparisons` says of them."""

from collections.abc import Iterator

import polars as pl
import torch
from torch import Tensor

from crossdiff.attribution.comparisons import Value, below, correlations, overlap, random_cosines, spread
from crossdiff.attribution.measure import Column
from crossdiff.attribution.norms import CLASSES
from crossdiff.dictionaries import Dictionary

COMPARISONS = {"quantity": pl.String, "group": pl.String, "at": pl.Float64, "value": pl.Float64, "n": pl.Int64}
VALID = {
    "nu_activation": "nu_valid",
    "nu_reconstruction": "nu_reconstruction_valid",
    "nu_error": "nu_error_valid",
}
"""Each ν, and the column that says where it is well-posed."""
HIGHEST = "highest delta_norm"
BALANCED = "chat-only and as many shared"
"""Whose ν the study sums up: the chat-only latents, and as many drawn from the shared ones (all if fewer)."""
SEED = 0
"""Of random pairs, and of the shared latents drawn."""


class Live:
    """Columns of the latent table for the latents that are active at all, on the CPU."""

    def __init__(self, columns: dict[str, Column]):
        dead_F = columns["dead"]
        assert isinstance(dead_F, Tensor)
        self.latents_N = (~dead_F.cpu()).nonzero().flatten()
        """Their numbers, int64."""
        self._columns = columns

    def column(self, name: str, latents_M: Tensor | None = None) -> Tensor:
        """A column over all of them, or over the latents numbered ``latents_M``."""
        column = self._columns[name]
        assert isinstance(column, Tensor)
        return column.cpu()[self.latents_N if latents_M is None else latents_M]

    def posed(self, nu: str) -> Tensor:
        """A ν over all of them, NaN where it is ill-posed: of a scale near 0 it can be any number."""
        return self.column(nu).where(self.column(VALID[nu]), torch.nan)


def members(columns: dict[str, Column], name: str) -> Tensor:
    """Numbers of the latents of a class, dead ones too, int64."""
    classes = columns["class"]
    assert isinstance(classes, list)
    return torch.tensor([each == name for each in classes]).nonzero().flatten()


def of_class(columns: dict[str, Column], name: str) -> Tensor:
    """Numbers of the live latents of a class, int64."""
    dead_F, latents_M = columns["dead"], members(columns, name)
    assert isinstance(dead_F, Tensor)
    return latents_M[~dead_F.cpu()[latents_M]]


def comparisons(dictionary: Dictionary, columns: dict[str, Column], highest: float) -> pl.DataFrame:
    """One number a row; ``highest`` is the share of a crosscoder's latents that count as those of highest Δ_norm."""
    live, values = Live(columns), []
    if len(live.latents_N):
        values += counted(live, "nu_activation_below", "nu_activation")
        values += correlations("nu_activation", "frequency", "well-posed", live.posed("nu_activation"), frequency(live))
        if dictionary.kind == "crosscoder":
            values += two_sided(dictionary, columns, live, highest)
    return pl.DataFrame(values, schema=COMPARISONS, orient="row")


def frequency(live: Live) -> Tensor:
    """Share of tokens a latent is active on."""
    return live.column("frequency")


def counted(live: Live, quantity: str, *nus: str) -> list[Value]:
    """Latents below each threshold of ν, Σ frequency, and Σ frequency · mean activation: their activation a token."""
    often_N = frequency(live)
    return below(quantity, *map(live.column, nus), frequency=often_N, activation=often_N * live.column("mean"))


def two_sided(dictionary: Dictionary, columns: dict[str, Column], live: Live, highest: float) -> Iterator[Value]:
    """What needs a decoder for each model."""
    nus = ("nu_reconstruction", "nu_error")
    yield from counted(live, "nu_reconstruction_and_error_below", *nus)
    groups = {name: of_class(columns, name) for name in CLASSES}
    sides = {"cosine": dictionary.decoder, "enc_cosine": dictionary.encoder.transpose(1, 2)}
    for side, rows_LFD in sides.items():
        for name, latents_M in groups.items():
            yield from spread(side, name, live.column(side, latents_M))
        if len(live.latents_N) > 1:
            yield from spread(side, "random pairs", random_cosines(rows_LFD, live.latents_N, SEED))
    delta_N = live.column("delta_norm")
    order_N = delta_N.nan_to_num(-1).argsort(descending=True, stable=True)
    top_M = live.latents_N[order_N[: max(1, round(highest * dictionary.shape[2]))]]
    yield Value("delta_norm_highest", "alive", None, float(delta_N[order_N[0]]), len(delta_N))
    yield from correlations("delta_norm", "frequency", "alive", delta_N, frequency(live))
    own_M = members(columns, "chat-only")
    for nu in nus:
        yield from spreads(live, nu, own_M, groups["shared"])
        yield from correlations("delta_norm", nu, "well-posed", delta_N, live.posed(nu))
        yield from correlations(nu, "frequency", "well-posed", live.posed(nu), frequency(live))
        for name, latents_M in (("chat-only", groups["chat-only"]), (HIGHEST, top_M)):
            yield from overlap(nu, name, live.column(nu, latents_M), live.column(nu, groups["shared"]))


def spreads(live: Live, nu: str, own_M: Tensor, shared_M: Tensor) -> Iterator[Value]:
    """ν of the chat-only latents, alone and with as many shared ones; how many have none, dead ones among them."""
    if not len(own_M):
        return
    drawn = torch.randperm(len(shared_M), generator=torch.Generator().manual_seed(SEED))[: len(own_M)]
    own_N = live.column(nu, own_M)
    yield Value(f"{nu}_undefined", "chat-only", None, float(own_N.isnan().sum()), len(own_N))
    yield from spread(nu, "chat-only", own_N)
    yield from spread(nu, BALANCED, torch.cat([own_N, live.column(nu, shared_M[drawn])]))
