"""BatchTopK on a CPU without the encoder's whole product: sums of 8-bit numbers, for which the CPU takes half the
time of bf16 ones, say where large scores may be, and only there values are multiplied out.

What is kept are the n·k largest of the values multiplied out, each of bf16 factors summed in fp32 and not rounded, so
that they lie closer to the eager step's than a bf16 product's. A level below the least of them comes from a sample, as
in `select`; multiplied out is all that 8 bits put above it or less than `MARGIN` standard deviations of their error
below it, token by token and latent by latent. Rounding by at most half a step is wrong by step / √12, so x·W is by
√(scale_x²·‖W‖² + scale_W²·‖x‖²) / √12, which is at most the sum of both parts. Of a token, or a latent, that one number
rules so that a third of the others round to 0, all is multiplied out: its errors are no chance.

Shapes: B tokens, F latents, I = models × width.
"""

import torch
from torch import Tensor

from crossdiff.dictionaries import compiled, select
from crossdiff.dictionaries.parameters import Coarse, Parameters
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.select import RUN, Kept

MARGIN = 3.0
"""Standard deviations of their error by which 8-bit scores may lie under the level and yet be looked at."""
SAMPLE = 65_536
"""Sums looked at for the level."""
TRIES = 3
"""Levels tried before all is multiplied out."""
GROSS = 1 / 64
"""Share of the tokens, or latents, of which all may be multiplied out entry by entry."""
WIDEST = 2**31 // 127**2
"""Numbers whose products fit into 32 bits."""


def here() -> bool:
    """Whether this machine's CPU screens."""
    return compiled.there() and torch.backends.mkldnn.is_available() and torch.cpu._is_vnni_supported()


def prepared(encoder_FI: Tensor, recipe: Recipe) -> Coarse | None:
    """The encoder in 8 bits, where steps of this recipe are screened."""
    if not compiled.serve(encoder_FI) or not recipe.screenable or not here() or encoder_FI.shape[1] > WIDEST:
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

    x, encoder = passes.coarse(x_BI), parameters.coarse
    if _gross(x) > GROSS * len(x_BI) or _gross(encoder) > GROSS * len(weight_F):
        return None
    sums_BF = torch._int_mm(x.eight_MI, encoder.eight_MI.t())
    slope_F, offset_F = encoder.scale_M * weight_F, parameters.encoder_bias_F * weight_F
    sampled_S = passes.sample(select.starts(entries, SAMPLE // RUN), RUN, sums_BF, x.scale_M, slope_F, offset_F)
    wider_F = (MARGIN * encoder.reach_M / encoder.scale_M).nan_to_num(nan=0.0, posinf=0.0)
    rank = select.sample_rank(entries, count, SAMPLE)
    for _ in range(TRIES):
        level = select.largest_but(sampled_S, rank - 1) if rank <= len(sampled_S) else 0.0
        if level <= 0:
            return None
        found = passes.screened(
            sums_BF, x.scale_M, wider_F, _least_sum(level, slope_F, offset_F, encoder.reach_M), MARGIN * x.reach_M,
            input_BI, parameters.short_FI, parameters.encoder_bias_F, weight_F,
        )  # fmt: skip
        kept = select.largest(Kept(*found), count)
        if len(kept.score_N) == count and float(kept.score_N.min()) >= level:
            return kept
        rank *= 2
    return None


def _gross(rows: Coarse) -> int:
    """Rows whose errors are no chance."""
    return int(rows.reach_M.isinf().sum())


def _least_sum(level: float, slope_F: Tensor, offset_F: Tensor, reach_F: Tensor) -> Tensor:
    """What a latent's scaled sum s must exceed for s · slope + offset > level, [F]; −∞ where it tells nothing."""
    least_F = torch.where(reach_F.isinf(), -torch.inf, (level - offset_F) / slope_F)
    return torch.where(slope_F > 0, least_F, torch.where(offset_F > level, -torch.inf, torch.inf))
