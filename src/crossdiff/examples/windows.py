"""The texts on which a latent is active: its strongest rows, and rows from every bin of its activity (study_spec §3.9).

A row counts once, by its peak: the token of it on which the latent is most active. Peaks are read in a second pass, for
the chosen latents alone, and the windows around those that are kept are encoded again. Shapes: B tokens of a batch,
N tokens of a split, R rows, S chosen latents, K kept rows, W tokens of a window.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crossdiff.activations.store import Block
from crossdiff.attribution.directions import subset
from crossdiff.dictionaries.architecture import Dictionary

QUANTILES = (0.25, 0.5, 0.75, 0.95, 1.0)
"""Upper edges of the bins, as shares of the latent's largest activity; an edge belongs to the bin below it."""
Encode = Callable[[Tensor, int], Tensor]
"""(places of W tokens, latent) -> activity of that latent on them: [W], or [W, E] with E - 1 other readings of it."""


class Peaks:
    """Running peak of every chosen latent in every row. A token is named by its place: its number in the split."""

    def __init__(self, rows: int, latents: int, device: torch.device | str = "cpu"):
        self.active_RS = torch.zeros(rows, latents, device=device)
        self.place_RS = torch.zeros(rows, latents, dtype=torch.int64, device=device)

    def add(self, active_BS: Tensor, row_B: Tensor, first: int) -> None:
        """Add tokens in stored order: their activity (float32), row (int64), and the place of the first of them.

        Of equal peaks in a row the earliest is kept.
        """
        tokens, latents = active_BS.shape
        row_P, at_B = torch.unique(row_B, return_inverse=True)
        at_BS = at_B[:, None].expand_as(active_BS)
        peak_PS = active_BS.new_zeros(len(row_P), latents).scatter_reduce(0, at_BS, active_BS, "amax")
        number_B1 = torch.arange(tokens, device=active_BS.device)[:, None]
        number_BS = torch.where(active_BS == peak_PS[at_B], number_B1, tokens)
        number_PS = torch.full_like(peak_PS, tokens, dtype=torch.int64).scatter_reduce(0, at_BS, number_BS, "amin")
        better_PS = peak_PS > self.active_RS[row_P]
        self.active_RS[row_P] = torch.where(better_PS, peak_PS, self.active_RS[row_P])
        self.place_RS[row_P] = torch.where(better_PS, number_PS + first, self.place_RS[row_P])


def find_peaks(dictionary: Dictionary, latents: list[int], row_N: Tensor, blocks: Iterable[Block]) -> Peaks:
    """Peaks of the chosen ``latents`` over all blocks, which hold the tokens of ``row_N`` in its order."""
    device = dictionary.encoder.device
    part = subset(dictionary, torch.tensor(latents, dtype=torch.int64, device=device))
    row_R, number_N = torch.unique(row_N, return_inverse=True)
    peaks, seen = Peaks(len(row_R), len(latents), device), 0
    for block in blocks:
        active_BS = part.encode(part.read(block.x_BLD.to(device))) * part.score_weight()
        peaks.add(active_BS, number_N[seen : seen + len(active_BS)].to(device), seen)
        seen += len(active_BS)
    return peaks


class Picked(NamedTuple):
    """Rows kept of one latent, most active first."""

    row_K: Tensor
    bin_K: Tensor
    """Number into `QUANTILES`."""
    among_K: Tensor
    """Rows whose peak is in the same bin, kept or not."""


def pick(active_R: Tensor, strongest: int, each: int, seed: int) -> Picked:
    """The ``strongest`` rows by their peaks, and rows drawn at random until every bin has ``each``, if it has so many.

    Rows without activity are in no bin.
    """
    order_K = torch.argsort(active_R, descending=True, stable=True)
    order_K = order_K[active_R[order_K] > 0]
    key_K = torch.rand(len(active_R), generator=torch.Generator().manual_seed(seed))[order_K]
    edges = torch.tensor(QUANTILES[:-1], dtype=torch.float64)
    bin_K = torch.bucketize(active_R[order_K].double() / active_R[order_K[:1]].double(), edges)
    count = torch.bincount(bin_K, minlength=len(QUANTILES))
    kept_K = torch.arange(len(order_K)) < strongest
    for number in range(len(QUANTILES)):
        here = bin_K == number
        left = (here & ~kept_K).nonzero().flatten()
        drawn = left[torch.argsort(key_K[left], stable=True)]
        kept_K[drawn[: max(0, each - int((here & kept_K).sum()))]] = True
    return Picked(order_K[kept_K], bin_K[kept_K], count[bin_K[kept_K]])


@dataclass(frozen=True)
class Example:
    """One kept row of a latent: its peak and the tokens around it."""

    latent: int
    rank: int
    """Among the kept rows, the most active first."""
    bin: int
    among: int
    """Rows whose peak is in the same bin, kept or not."""
    row: int
    position: int
    """Of the peak, in its row."""
    first: int
    """Position of the window's first token in its row."""
    activations: list[float]
    """Activity on each token of the window; NaN on tokens that were masked for their norm."""
    readings: tuple[list[float], ...] = ()
    """Other readings of the same latent on the same tokens."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a split in stored order, to find those around a place; arrays, since windows are many and small."""

    row_N: np.ndarray
    position_N: np.ndarray
    lengths: np.ndarray
    """Length of each row, by its number."""

    def around(self, place: int, reach: int) -> tuple[int, int, np.ndarray]:
        """First and last (exclusive) position ``reach`` tokens to either side in the row; places of the kept ones."""
        row, position = self.row_N[place], int(self.position_N[place])
        first, last = max(0, position - reach), min(int(self.lengths[row]), position + reach + 1)
        near = slice(max(0, place - reach), place + reach + 1)
        at = self.position_N[near]
        return first, last, near.start + np.flatnonzero((self.row_N[near] == row) & (at >= first) & (at < last))


def examples(
    peaks: Peaks, latents: list[int], tokens: Tokens, strongest: int, each: int, reach: int, encode: Encode
) -> Iterator[Example]:
    """Examples of the chosen ``latents``, the columns of ``peaks``, a latent at a time, most active first.

    ``strongest`` and ``each`` as in `pick`, whose draw depends on the latent's number alone; ``reach`` tokens are shown
    to either side of a peak.
    """
    for column, latent in enumerate(latents):
        picked = pick(peaks.active_RS[:, column].cpu(), strongest, each, latent)
        places = peaks.place_RS[:, column].cpu()[picked.row_K].tolist()
        windows = [tokens.around(place, reach) for place in places]
        if not windows:
            continue
        near_M = np.concatenate([near for _, _, near in windows])
        read_ME = encode(torch.from_numpy(near_M), latent).float().reshape(len(near_M), -1).numpy()
        parts = np.split(read_ME, np.cumsum([len(near) for _, _, near in windows])[:-1])
        marks = zip(places, windows, parts, picked.bin_K.tolist(), picked.among_K.tolist(), strict=True)
        for rank, (place, (first, last, near), read_WE, bin_, among) in enumerate(marks):
            window_WE = np.full((last - first, read_WE.shape[1]), np.nan, np.float32)
            window_WE[tokens.position_N[near] - first] = read_WE
            activations, *readings = window_WE.T.tolist()
            row, position = int(tokens.row_N[place]), int(tokens.position_N[place])
            yield Example(latent, rank, bin_, among, row, position, first, activations, tuple(readings))
