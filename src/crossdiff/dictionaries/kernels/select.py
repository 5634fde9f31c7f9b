"""BatchTopK on the device: the choice of `crossdiff.dictionaries.select.batch_topk`, without a word from the host.

Positive fp32 scores order as their bits do, so the wanted score is found digit by digit: one histogram of the upper
16 bits, one of the lower 15 among those that share the upper ones. Counts are integers, so atomic adds do not depend on
their order. A sample first tells a level that few scores exceed: only those are counted, and adds seldom collide; if
the sample misled, the rest is counted too. Then entries above the wanted score, and as many of the tied ones as are
left, are written in the order of their flat index. Four passes over the batch, nothing of its size is written.

Shapes: B tokens, F latents, T tiles of a row, N = tokens · k slots for entries, S sampled entries.
"""

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

SAMPLE = 131_072
"""Entries looked at to estimate the level."""
TILE, TILE_WARPS = 2048, 2
"""Entries of a row that a program of the histograms looks at."""
PART, PART_WARPS = 512, 2
"""Entries of a row that a program looks at to write what is kept: on average it keeps less than one, often none."""
LOW_BITS = 15
"""Bits of the second digit; the first has the 16 above them (positive floats have 31)."""
ALL = 2**31 - 1


class Chosen(NamedTuple):
    """Kept entries in order of their flat index, in N slots; slots left over come last and stand for nothing."""

    token_N: Tensor
    """int32; 0 in slots left over."""
    latent_N: Tensor
    """int32; F in slots left over, so that they sort last."""
    value_N: Tensor
    """fp32 f > 0; 0 in slots left over."""
    score_N: Tensor
    """fp32 f·w > 0; inf in slots left over."""
    start_B: Tensor
    """int32 [B + 1], where each token's entries start; the last is the number of entries kept."""


def batch_topk(pre_BF: Tensor, weight_F: Tensor, count: int) -> Chosen:
    """The ``count`` largest positive scores relu(pre)·w, fewer if fewer are positive; ties go to the lowest flat index.

    pre_BF [B, F] is contiguous, fp32 or bf16; weight_F [F] fp32, not negative.
    """
    least, ahead = _wanted(pre_BF, weight_F, count)
    tokens, latents = pre_BF.shape
    tiles = triton.cdiv(latents, PART)
    grid = (tokens, tiles)
    ahead_BT, tied_BT = torch.empty(2, tokens * tiles, dtype=torch.int32, device=pre_BF.device)
    _count_tiles[grid](pre_BF, weight_F, least, ahead_BT, tied_BT, latents, TILE=PART, num_warps=PART_WARPS)
    room = count - ahead  # for tied entries
    tied_end_BT = tied_BT.cumsum(0)
    end_BT = ahead_BT.cumsum(0) + torch.minimum(tied_end_BT, room)
    start_BT = torch.cat([end_BT.new_zeros(1), end_BT]).int()
    chosen = _empty(count, latents, start_BT[::tiles].contiguous())
    _write[grid](
        pre_BF, weight_F, least, start_BT, (tied_end_BT - tied_BT).int(), room,
        chosen.token_N, chosen.latent_N, chosen.value_N, chosen.score_N, latents, TILE=PART, num_warps=PART_WARPS,
    )  # fmt: skip
    return chosen


def _empty(slots: int, latents: int, start_B: Tensor) -> Chosen:
    def filled(value: float, dtype: torch.dtype) -> Tensor:
        return torch.full((slots,), value, dtype=dtype, device=start_B.device)

    whole = filled(0, torch.int32), filled(latents, torch.int32)
    return Chosen(*whole, filled(0.0, torch.float32), filled(math.inf, torch.float32), start_B)


def _wanted(pre_BF: Tensor, weight_F: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Bits of the ``count``-th largest score, int32 [1], and how many scores exceed it, int64 [1].

    With fewer positive scores the bits are 0, which all positive scores exceed.
    """
    level = _sampled_level(pre_BF, weight_F, count)
    one, every, zero = (torch.full_like(level, value) for value in (1, ALL, 0))
    upper_H = torch.zeros(2**16, dtype=torch.int32, device=pre_BF.device)
    _histogram(pre_BF, weight_F, (level, every, zero), LOW_BITS, upper_H)
    enough = upper_H.sum() >= count
    _histogram(pre_BF, weight_F, (one, torch.where(enough, one, level), zero), LOW_BITS, upper_H)
    digit, above = _digit(upper_H, torch.full_like(level, count))
    base = digit << LOW_BITS
    lower_H = torch.zeros(2**LOW_BITS, dtype=torch.int32, device=pre_BF.device)
    _histogram(pre_BF, weight_F, (base.clamp_min(1), base + 2**LOW_BITS, base), 0, lower_H)
    low, above_low = _digit(lower_H, count - above)
    return (base + low).int(), above + above_low


def _digit(counts_H: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Largest digit that, with those above, covers ``wanted`` entries (0 if none does), and the entries above it."""
    reached_H = counts_H.flip(0).cumsum(0, dtype=torch.int64).flip(0)
    digit = ((reached_H >= wanted).sum(0, keepdim=True) - 1).clamp_min(0)
    return digit.int(), (reached_H - counts_H).index_select(0, digit)


def _sampled_level(pre_BF: Tensor, weight_F: Tensor, count: int) -> Tensor:
    """Bits, int32 [1], of a score that a few more than ``count`` entries exceed if an even sample is to be believed."""
    entries, latents = pre_BF.numel(), pre_BF.shape[1]
    stride = max(1, entries // SAMPLE)
    while math.gcd(stride, latents) > 1:  # else some latents would never be looked at
        stride += 1
    index_S = torch.arange(0, entries, stride, device=pre_BF.device)
    expected = count * len(index_S) / entries
    rank = math.ceil(expected + 4 * math.sqrt(expected)) + 8
    if rank >= len(index_S):
        return torch.ones(1, dtype=torch.int32, device=pre_BF.device)
    score_S = pre_BF.view(-1).index_select(0, index_S).float() * weight_F.index_select(0, index_S % latents)
    level = score_S.topk(rank, sorted=False).values.amin(0, keepdim=True)
    return level.clamp_min(0).view(torch.int32).clamp_min(1)


def _histogram(
    pre_BF: Tensor, weight_F: Tensor, span: tuple[Tensor, Tensor, Tensor], shift: int, counts_H: Tensor
) -> None:
    """Count the scores whose bits are in [low, high) by (bits − base) >> shift; span is (low, high, base)."""
    grid = (pre_BF.shape[0], triton.cdiv(pre_BF.shape[1], TILE))
    _add_to_histogram[grid](
        pre_BF, weight_F, torch.cat(span), counts_H, pre_BF.shape[1], SHIFT=shift, TILE=TILE, num_warps=TILE_WARPS
    )


@triton.jit
def _tile_bits(pre_BF, weight_F, latents, TILE: tl.constexpr):
    """Bits of this program's scores, 0 where one is not positive; with their values and columns."""
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = column < latents
    row = tl.program_id(0).to(tl.int64)
    value = tl.load(pre_BF + row * latents + column, mask=inside, other=0.0).to(tl.float32)
    score = value * tl.load(weight_F + column, mask=inside, other=0.0)
    bits = tl.where(score > 0, score, 0.0).to(tl.int32, bitcast=True)
    return bits, value, score, column


@triton.jit
def _add_to_histogram(pre_BF, weight_F, span_3, counts_H, latents, SHIFT: tl.constexpr, TILE: tl.constexpr):
    low = tl.load(span_3)
    high = tl.load(span_3 + 1)
    if high > low:
        bits, _, _, _ = _tile_bits(pre_BF, weight_F, latents, TILE)
        inside = (bits >= low) & (bits < high)
        bin_ = (bits - tl.load(span_3 + 2)) >> SHIFT
        tl.atomic_add(counts_H + bin_, tl.full([TILE], 1, tl.int32), mask=inside, sem="relaxed")


@triton.jit
def _count_tiles(pre_BF, weight_F, least_1, ahead_BT, tied_BT, latents, TILE: tl.constexpr):
    """How many scores of each tile exceed the wanted one, and how many equal it."""
    bits, _, _, _ = _tile_bits(pre_BF, weight_F, latents, TILE)
    least = tl.load(least_1)
    tile = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
    tl.store(ahead_BT + tile, tl.sum((bits > least).to(tl.int32), 0))
    tl.store(tied_BT + tile, tl.sum(((bits == least) & (bits > 0)).to(tl.int32), 0))


@triton.jit
def _write(
    pre_BF, weight_F, least_1, start_BT, tied_BT, room_1, token_N, latent_N, value_N, score_N, latents,
    TILE: tl.constexpr,
):  # fmt: skip
    """Put each kept entry of a tile into its slot."""
    tile = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
    start = tl.load(start_BT + tile)
    if tl.load(start_BT + tile + 1) > start:
        bits, value, score, column = _tile_bits(pre_BF, weight_F, latents, TILE)
        least = tl.load(least_1)
        keep = bits > least
        tied = ((bits == least) & (bits > 0)).to(tl.int32)
        if tl.sum(tied, 0) > 0:
            tied_before = tl.load(tied_BT + tile) + tl.cumsum(tied, 0) - tied
            keep = keep | ((tied > 0) & (tied_before < tl.load(room_1)))
        slot = start + tl.cumsum(keep.to(tl.int32), 0) - 1
        tl.store(token_N + slot, tl.zeros([TILE], tl.int32) + tl.program_id(0), mask=keep)
        tl.store(latent_N + slot, column, mask=keep)
        tl.store(value_N + slot, value, mask=keep)
        tl.store(score_N + slot, score, mask=keep)
