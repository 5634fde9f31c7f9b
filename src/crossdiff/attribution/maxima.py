"""Where every latent is most active, at most once in a row, kept while the codes stream past.

Shapes: N active entries, F latents, M maxima.
"""

import torch
from torch import Tensor


class Maxima:
    """Running maxima of every latent in the ``each`` rows in which it is most active.

    A token is named by its place: its number among the tokens streamed.
    """

    def __init__(self, latents: int, each: int, device: torch.device | str = "cpu"):
        self.each = each
        self._floor_F = torch.zeros(latents, device=device)
        integers = torch.zeros(0, dtype=torch.int64, device=device)
        self._kept = (integers, torch.zeros(0, device=device), integers, integers)

    def add(self, latent_N: Tensor, active_N: Tensor, row_N: Tensor, place_N: Tensor) -> None:
        """Add a batch of active entries: latent, activity (float32), row and place of the token (int64)."""
        better_N = active_N > self._floor_F[latent_N]
        batch = (latent_N[better_N], active_N[better_N], row_N[better_N], place_N[better_N])
        latent, active, row, place = (torch.cat(pair) for pair in zip(self._kept, batch, strict=True))
        if not len(latent):
            return
        # Positive floats order as their bits do: one sort by latent, then from the most active.
        order = torch.argsort((latent << 32) - active.view(torch.int32), stable=True)
        best = order[first_of_each((latent * (row.max() + 1) + row)[order])]
        rank = ranks(latent[best])
        keep = best[rank < self.each]
        self._kept = (latent[keep], active[keep], row[keep], place[keep])
        full = best[rank == self.each - 1]
        self._floor_F[latent[full]] = active[full]

    @property
    def entries(self) -> tuple[Tensor, Tensor]:
        """(latent [M], place [M]) of all maxima, by latent, most active first; int64, on the CPU."""
        return self._kept[0].cpu(), self._kept[3].cpu()


def first_of_each(value_N: Tensor) -> Tensor:
    """Whether each entry is the first of its value, bool [N]: [5, 3, 5] -> [True, True, False]."""
    order_N = torch.argsort(value_N, stable=True)
    sorted_N = value_N[order_N]
    first_N = torch.ones_like(sorted_N, dtype=torch.bool)
    first_N[1:] = sorted_N[1:] != sorted_N[:-1]
    return torch.empty_like(first_N).scatter_(0, order_N, first_N)


def ranks(sorted_N: Tensor) -> Tensor:
    """Position of each entry inside its run of equal values, for sorted values: [3, 3, 7] -> [0, 1, 0]."""
    if not len(sorted_N):
        return sorted_N
    _, counts = torch.unique_consecutive(sorted_N, return_counts=True)
    starts = torch.cumsum(counts, 0) - counts
    return torch.arange(len(sorted_N), device=sorted_N.device) - torch.repeat_interleave(starts, counts)
