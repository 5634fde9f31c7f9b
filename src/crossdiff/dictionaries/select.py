"""BatchTopK: the n·k largest scores of a batch, exactly, without sorting batch × F values.

A level just below the wanted score is estimated from a sample; one pass finds the entries above it;
the exact choice is made among those few. The sample decides only how many survive, never what is kept.

Shapes: B tokens, F latents, N chosen entries.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crossdiff.dictionaries import compiled

SAMPLE = 131_072
"""Entries looked at to estimate the level, at most: about a thousand of them rank above it at usual sparsity."""
SHARE = 8
"""The sample is at most one in so many entries. Without one, in a small batch, every positive entry is a survivor."""
RUN = 32
"""Entries in a row that the sample takes."""
CHUNK = 2**19
"""Entries compared at a time, so that the mask stays in the cache."""


class Kept(NamedTuple):
    """Chosen entries in order of their flat index (token · F + latent)."""

    flat_N: Tensor
    """int64."""
    value_N: Tensor
    """f > 0, fp32."""
    score_N: Tensor
    """f·w > 0, fp32."""


def above(value_BF: Tensor, level_F: Tensor) -> Tensor:
    """Flat indices (int64, ascending) of the entries with value > level ≥ 0, level [F] in any float type."""
    level_F = level_F.to(value_BF.dtype)
    if value_BF.device.type != "cpu":
        return _where((value_BF > level_F).flatten())
    # NumPy compares and finds many times faster than PyTorch does on a CPU.
    values, levels = compiled.stored(value_BF), compiled.stored(level_F)
    rows = max(1, CHUNK // values.shape[1])
    found = [
        np.flatnonzero(values[start : start + rows] > levels) + start * values.shape[1]
        for start in range(0, values.shape[0], rows)
    ]
    return torch.from_numpy(np.concatenate(found))


def entries(value_BF: Tensor, level_F: Tensor, weight_F: Tensor) -> Kept:
    """The entries with value > level ≥ 0; level [F] in any float type, weight [F] fp32."""
    if compiled.serve(value_BF):
        from crossdiff.dictionaries.compiled import passes

        return Kept(*passes.above(value_BF, level_F.to(value_BF.dtype), weight_F))
    flat_N = above(value_BF, level_F)
    value_N = value_BF.view(-1).index_select(0, flat_N).float()
    return Kept(flat_N, value_N, value_N * weight_F.index_select(0, flat_N % value_BF.shape[1]))


def positives(value_BF: Tensor) -> int:
    """How many entries are above 0."""
    if value_BF.device.type != "cpu":
        return int((value_BF > 0).sum())
    return int(np.count_nonzero(compiled.stored(value_BF) > 0))


def level_of_value(score_level: float | Tensor, weight_F: Tensor) -> Tensor:
    """Level [F] on f that every score f·w ≥ ``score_level`` exceeds, in spite of rounding to bf16."""
    return torch.where(weight_F > 0, score_level / weight_F * (1 - 2**-6), torch.inf)


def batch_topk(pre_BF: Tensor, weight_F: Tensor, count: int) -> Kept:
    """The ``count`` largest positive scores relu(pre)·w, fewer if fewer are positive; ties go to the lowest flat index.

    pre_BF [B, F] is contiguous, fp32 or bf16; weight_F [F] fp32, not negative.
    """
    size = sample_size(pre_BF.numel())
    rank = sample_rank(pre_BF.numel(), count, size)
    while True:
        level = _sampled_level(pre_BF, weight_F, size, rank)
        kept, complete = _survivors(pre_BF, weight_F, level, count)
        if complete:
            return largest(kept, count)
        rank *= 2


def sample_size(entries: int) -> int:
    """How many of a batch's entries are looked at."""
    return min(SAMPLE, entries // SHARE)


def sample_rank(entries: int, count: int, sample: int) -> int:
    """Rank in a sample of so many entries that leaves a few standard deviations of room for the wanted count."""
    expected = count * min(1.0, sample / entries)
    return math.ceil(expected + 4 * math.sqrt(expected)) + 8


def _sampled_level(pre_BF: Tensor, weight_F: Tensor, size: int, rank: int) -> float:
    """Score of that rank in a sample of so many entries; 0 if the sample has no such rank.

    Entries are looked at `RUN` in a row, which come with one line of the cache.
    """
    entries, latents = pre_BF.numel(), pre_BF.shape[1]
    if rank >= size // RUN * RUN:
        return 0.0
    start_S = starts(entries, size // RUN).to(pre_BF.device)
    repeats = -(-(latents + RUN) // latents)
    weight_SR = weight_F.repeat(repeats).unfold(0, RUN, 1).index_select(0, start_S % latents)
    score = pre_BF.view(-1).unfold(0, RUN, 1).index_select(0, start_S).float().mul_(weight_SR).view(-1)
    return max(0.0, largest_but(score, rank - 1))


@cache
def starts(entries: int, runs: int) -> Tensor:
    """Where the runs of a sample start, int64: anywhere, the same in every batch of a size."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, entries - RUN + 1, runs))


def _survivors(pre_BF: Tensor, weight_F: Tensor, level: float, count: int) -> tuple[Kept, bool]:
    """Entries about and above the level, and whether the ``count`` largest are surely among them."""
    kept = entries(pre_BF, level_of_value(level, weight_F), weight_F)
    complete = level == 0.0 or int((kept.score_N >= level).sum()) >= count
    return kept, complete


def largest(kept: Kept, count: int) -> Kept:
    """The ``count`` largest scores of those given, all positive; ties go to the first."""
    score_N = kept.score_N
    if len(score_N) <= count:
        chosen_N = score_N > 0
    else:
        least = largest_but(score_N, count - 1)
        chosen_N = score_N > least
        if least > 0:
            tied_N = (score_N == least).nonzero().squeeze(1)
            chosen_N[tied_N[: count - int(chosen_N.sum())]] = True
    index = _where(chosen_N)
    return Kept(*(part.index_select(0, index) for part in kept))


def largest_but(value_N: Tensor, others: int) -> float:
    """The largest but for so many others."""
    place = len(value_N) - 1 - others
    if value_N.device.type != "cpu":
        return float(value_N.kthvalue(place + 1).values)
    return float(np.partition(value_N.numpy(), place)[place])


def _where(chosen_N: Tensor) -> Tensor:
    """Indices of what is true, int64, ascending."""
    if chosen_N.device.type != "cpu":
        return chosen_N.nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(chosen_N.numpy()))
