"""BatchTopK: the n·k largest scores of a batch, exactly, without sorting batch × F values.

A level just below the wanted score is estimated from a sample; one pass finds the entries above it;
the exact choice is made among those few. The sample decides only how many survive, never what is kept.

Shapes: B tokens, F latents, N chosen entries.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SAMPLE = 131_072
"""Entries looked at to estimate the level: about a thousand of them rank above it at usual sparsity."""
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
        return (value_BF > level_F).flatten().nonzero().squeeze(1)
    values, levels = _comparable(value_BF), _comparable(level_F)
    rows = max(1, CHUNK // values.shape[1])
    found = [
        np.flatnonzero(values[start : start + rows] > levels) + start * values.shape[1]
        for start in range(0, values.shape[0], rows)
    ]
    return torch.from_numpy(np.concatenate(found))


def positives(value_BF: Tensor) -> int:
    """How many entries are above 0."""
    if value_BF.device.type != "cpu":
        return int((value_BF > 0).sum())
    return int(np.count_nonzero(_comparable(value_BF) > 0))


def _comparable(value: Tensor) -> np.ndarray:
    """A CPU tensor as NumPy sees it, for comparisons with numbers that are not negative.

    NumPy compares and finds many times faster than PyTorch does on a CPU, and non-negative bf16 numbers
    keep their order when their bits are read as integers (negative ones become negative integers).
    """
    return value.view(torch.int16 if value.dtype == torch.bfloat16 else value.dtype).numpy()


def level_of_value(score_level: float | Tensor, weight_F: Tensor) -> Tensor:
    """Level [F] on f that every score f·w ≥ ``score_level`` exceeds, in spite of rounding to bf16."""
    return torch.where(weight_F > 0, score_level / weight_F * (1 - 2**-6), torch.inf)


def batch_topk(pre_BF: Tensor, weight_F: Tensor, count: int) -> Kept:
    """The ``count`` largest positive scores relu(pre)·w, fewer if fewer are positive; ties go to the lowest flat index.

    pre_BF [B, F] is contiguous, fp32 or bf16; weight_F [F] fp32, not negative.
    """
    rank = _sample_rank(pre_BF.numel(), count)
    while True:
        level = _sampled_level(pre_BF, weight_F, rank)
        kept, complete = _survivors(pre_BF, weight_F, level, count)
        if complete:
            return _largest(kept, count)
        rank *= 2


def _sample_rank(entries: int, count: int) -> int:
    """Rank in the sample that leaves a few standard deviations of room for the wanted count."""
    expected = count * min(1.0, SAMPLE / entries)
    return math.ceil(expected + 4 * math.sqrt(expected)) + 8


def _sampled_level(pre_BF: Tensor, weight_F: Tensor, rank: int) -> float:
    """Score of that rank in an even sample; 0 if the sample has no such rank or is no smaller than the batch."""
    entries, latents = pre_BF.numel(), pre_BF.shape[1]
    stride = entries // SAMPLE
    if stride < 2:
        return 0.0
    while math.gcd(stride, latents) > 1:  # else some latents would never be looked at
        stride += 1
    index = torch.arange(0, entries, stride, device=pre_BF.device)
    if rank >= len(index):
        return 0.0
    score = pre_BF.view(-1).index_select(0, index).float().mul_(weight_F.index_select(0, index % latents))
    return max(0.0, float(score.topk(rank, sorted=False).values.min()))


def _survivors(pre_BF: Tensor, weight_F: Tensor, level: float, count: int) -> tuple[Kept, bool]:
    """Entries about and above the level, and whether the ``count`` largest are surely among them."""
    flat_N = above(pre_BF, level_of_value(level, weight_F))
    value_N = pre_BF.view(-1).index_select(0, flat_N).float()
    score_N = value_N * weight_F.index_select(0, flat_N % pre_BF.shape[1])
    complete = level == 0.0 or int((score_N >= level).sum()) >= count
    return Kept(flat_N, value_N, score_N), complete


def _largest(kept: Kept, count: int) -> Kept:
    """The ``count`` largest scores of those given, all positive; ties go to the first."""
    if len(kept.score_N) > count:
        least = kept.score_N.topk(count, sorted=False).values.min()
        ahead_N, tied_N = kept.score_N > least, kept.score_N == least
        choose_N = ahead_N | (tied_N & (tied_N.cumsum(0) <= count - ahead_N.sum()))
    else:
        choose_N = kept.score_N > 0
    if not bool((kept.score_N > 0).all()):
        choose_N &= kept.score_N > 0
    index = choose_N.nonzero().squeeze(1)
    return Kept(*(part.index_select(0, index) for part in kept))
