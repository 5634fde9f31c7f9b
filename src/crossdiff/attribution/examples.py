"""The tokens on which a latent is most active, each with the tokens around it.

A latent's top tokens are kept while the codes stream past, at most one a row, so that examples differ. The windows
around them are encoded again afterwards, for the chosen latents only. Shapes: N active entries, F latents, S chosen
latents, W tokens of a window.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Encode = Callable[[Tensor, int], Tensor]
"""(places of W tokens, latent) -> activity of that latent on them: [W], or [W, R] with R - 1 other readings of it."""


class Top:
    """Running top tokens of every latent. A token is named by its place: its number among the tokens streamed."""

    def __init__(self, latents: int, each: int, device: torch.device | str = "cpu"):
        self.each, self._latents = each, latents
        self._floor_F = torch.zeros(latents, device=device)
        integers = torch.zeros(0, dtype=torch.int64, device=device)
        self._kept = (integers, torch.zeros(0, device=device), integers, integers)

    def add(self, latent_N: Tensor, active_N: Tensor, row_N: Tensor, place_N: Tensor) -> None:
        """Add a batch of active entries: latent, activity (float32), row and place of the token (int64)."""
        better_N = active_N > self._floor_F[latent_N]
        batch = (latent_N[better_N], active_N[better_N], row_N[better_N], place_N[better_N])
        latent, active, row, place = (torch.cat(pair) for pair in zip(self._kept, batch, strict=True))
        order = torch.argsort(active, descending=True, stable=True)
        order = order[torch.argsort(row[order], stable=True)]
        order = order[torch.argsort(latent[order], stable=True)]
        latent, row = latent[order], row[order]
        first = torch.ones_like(latent, dtype=torch.bool)
        first[1:] = (latent[1:] != latent[:-1]) | (row[1:] != row[:-1])
        latent, active, row, place = latent[first], active[order][first], row[first], place[order][first]
        order = torch.argsort(active, descending=True, stable=True)
        order = order[torch.argsort(latent[order], stable=True)]
        latent, active = latent[order], active[order]
        rank = ranks(latent)
        keep = rank < self.each
        self._kept = (latent[keep], active[keep], row[order][keep], place[order][keep])
        full = rank == self.each - 1
        self._floor_F[latent[full]] = active[full]

    def places(self, latent: int) -> list[int]:
        """Places of a latent's top tokens, most active first."""
        return self._kept[3][self._kept[0] == latent].tolist()


def ranks(sorted_N: Tensor) -> Tensor:
    """Position of each entry inside its run of equal values, for sorted values: [3, 3, 7] -> [0, 1, 0]."""
    if not len(sorted_N):
        return sorted_N
    _, counts = torch.unique_consecutive(sorted_N, return_counts=True)
    starts = torch.cumsum(counts, 0) - counts
    return torch.arange(len(sorted_N), device=sorted_N.device) - torch.repeat_interleave(starts, counts)


@dataclass(frozen=True)
class Example:
    """One top token of a latent and the tokens around it."""

    latent: int
    rank: int
    row: int
    position: int
    """Of the top token, in its row."""
    first: int
    """Position of the window's first token in its row."""
    activations: list[float]
    """Activity on each token of the window; NaN on tokens that were masked for their norm."""
    readings: tuple[list[float], ...] = ()
    """Other readings of the same latent on the same tokens."""


def examples(
    top: Top, latents: list[int], row_N: Tensor, position_N: Tensor, lengths: Tensor, window: int, encode: Encode
) -> Iterator[Example]:
    """Examples of the chosen ``latents``, a latent at a time.

    ``row_N`` and ``position_N`` name the token at each place, in stored order; ``lengths`` is the length of each row;
    the window reaches ``window`` tokens to either side inside the row.
    """
    for latent in latents:
        for rank, place in enumerate(top.places(latent)):
            row, position = int(row_N[place]), int(position_N[place])
            first, last = max(0, position - window), min(int(lengths[row]), position + window + 1)
            near = torch.arange(max(0, place - window), min(len(row_N), place + window + 1))
            near = near[(row_N[near] == row) & (position_N[near] >= first) & (position_N[near] < last)]
            read_WR = encode(near, latent).float().reshape(len(near), -1)
            window_WR = torch.full((last - first, read_WR.shape[1]), torch.nan)
            window_WR[position_N[near].long() - first] = read_WR
            activations, *readings = window_WR.T.tolist()
            yield Example(latent, rank, row, position, first, activations, tuple(readings))


def choose(order_F: Tensor, frequency_F: Tensor, count: int) -> list[int]:
    """At most ``count`` latents, ascending: half the first by ``order_F`` (NaN never), the rest the most frequent.

    Latents that were never active are not chosen.
    """
    alive_F = frequency_F > 0
    specific = [i for i in torch.argsort(order_F, stable=True).tolist() if alive_F[i] and not torch.isnan(order_F[i])]
    chosen = set(specific[: (count + 1) // 2])
    frequent = torch.argsort(frequency_F, descending=True, stable=True).tolist()
    for latent in (i for i in frequent if alive_F[i]):
        if len(chosen) >= count:
            break
        chosen.add(latent)
    return sorted(chosen)
