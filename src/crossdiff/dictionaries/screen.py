"""BatchTopK on a CPU without the encoder's whole product: sums of 8-bit numbers, for which the CPU takes half the
time of bf16 ones, say where large scores may be, and only there values are multiplied out.

What is kept are the n·k largest of the values multiplied out, each of bf16 factors summed in fp32 and not rounded, so
that they lie closer to the eager step's than a bf16 product's. An entry that belongs among them is missed only where
8 bits put it under a level `MARGIN` standard deviations of their own error below the least one kept. What 8 bits are
wrong by is measured at every step, and the level follows it; where that does not help, the caller multiplies all.

Shapes: B tokens, F latents, I = models × width.
"""

import math

import torch
from torch import Tensor

from crossdiff.dictionaries import compiled, select
from crossdiff.dictionaries.parameters import Coarse, Parameters
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.select import RUN, Kept

MARGIN = 3.0
"""Standard deviations of the 8-bit scores' error between the level and the least score kept."""
SAMPLE = 65_536
"""Sums looked at for the first level."""
ROOM = 1.05
"""Candidates at the first level over entries wanted, besides what the sample is unsure of."""
TRIES = 3
"""Levels tried before all is multiplied out."""


def here() -> bool:
    """Whether this machine's CPU screens."""
    return compiled.there() and torch.cpu._is_vnni_supported()


def prepared(encoder_FI: Tensor, recipe: Recipe) -> Coarse | None:
    """The encoder in 8 bits, where steps of this recipe are screened."""
    if not compiled.serve(encoder_FI) or not recipe.screenable or not here():
        return None
    from crossdiff.dictionaries.compiled import passes

    return passes.coarse(encoder_FI)


def batch_topk(parameters: Parameters, x_BI: Tensor, input_BI: Tensor, weight_F: Tensor, count: int) -> Kept | None:
    """`select.batch_topk` of the scores relu(x·W + b)·w; None where only the whole product can tell.

    x [B, I] is what the encoder sees, fp32, ``input`` the same in bf16; weight_F [F] fp32, not negative.
    """
    entries = len(x_BI) * len(weight_F)
    if parameters.coarse is None or parameters.short_FI is None or entries < 2 * SAMPLE:
        return None
    from crossdiff.dictionaries.compiled import passes

    eight_BI, scale_B = passes.coarse(x_BI)
    sums_BF = torch._int_mm(eight_BI, parameters.coarse.eight_MI.t())
    slope_F, offset_F = parameters.coarse.scale_M * weight_F, parameters.encoder_bias_F * weight_F
    start_S = select.starts(entries, SAMPLE // RUN)
    sampled_S = passes.sample(start_S, RUN, sums_BF, scale_B, slope_F, offset_F)
    rank = select.sample_rank(entries, math.ceil(ROOM * count), SAMPLE)
    level = _level(sampled_S, rank)
    for _ in range(TRIES):
        if level <= 0:
            return None
        found, off = passes.screened(
            sums_BF, scale_B, _least_sum(level, slope_F, offset_F), slope_F, offset_F, input_BI, parameters.short_FI,
            parameters.encoder_bias_F, weight_F,
        )  # fmt: skip
        kept = select.largest(Kept(*found), count)
        if len(kept.score_N) < count:
            rank *= 2
            level = _level(sampled_S, rank)
            continue
        least = float(kept.score_N.min())
        if level <= least - MARGIN * off:
            return kept
        level = least - (MARGIN + 1) * off
    return None


def _level(sampled_S: Tensor, rank: int) -> float:
    """Score of that rank in the sample, 0 if it has none."""
    return select.largest_but(sampled_S, rank - 1) if rank <= len(sampled_S) else 0.0


def _least_sum(level: float, slope_F: Tensor, offset_F: Tensor) -> Tensor:
    """What the scaled sum s of a latent has to exceed for s · slope + offset > level, [F]."""
    always_F = torch.where(offset_F > level, -torch.inf, torch.inf)
    return torch.where(slope_F > 0, (level - offset_F) / slope_F, always_F)
