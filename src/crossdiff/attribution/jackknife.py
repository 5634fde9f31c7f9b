"""How well a number is determined by the rows it was measured on: the delete-one-block jackknife.

Tokens of one row are alike, so rows are grouped into blocks and a block is left out whole (Efron & Tibshirani, An
Introduction to the Bootstrap, §11). Any function of sums over tokens needs only its sums per block: no second pass.

Shapes: K blocks, F latents.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def jackknife(statistic: Callable[..., Tensor], *sums_KF: Tensor) -> Tensor:
    """Standard error [F] of ``statistic(*sums)``, where each sum over tokens is given per block.

    se² = (K−1)/K · Σ_k (θ_(k) − mean θ)², θ_(k) the statistic without block k. ``statistic`` maps sums [K, F] to
    [K, F], each entry by itself. NaN where one block holds all there is: then nothing is known of the spread.
    """
    blocks = len(sums_KF[0])
    left_KF = statistic(*(part_KF.sum(0) - part_KF for part_KF in sums_KF))
    return ((blocks - 1) / blocks * (left_KF - left_KF.mean(0)).square().sum(0)).sqrt()


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Σ part / Σ whole."""
    return part / whole


def clear_of_zero(value_F: Tensor, se_F: Tensor) -> Tensor:
    """Whether a value lies more than two of its standard errors from 0 [F]; never where it is not known how well."""
    return (value_F.abs() > 2 * se_F) & torch.isfinite(se_F)


def row_blocks(row_N: Tensor, rows: int, blocks: int) -> Tensor:
    """Block of each of ``rows`` rows, int64 [rows]: those that a token of ``row_N`` is in, in runs of equal length.

    What block a row without a token has does not matter; there are at most as many blocks as rows with one.
    """
    used_R = torch.zeros(rows, dtype=torch.bool)
    used_R[row_N] = True
    place_R = torch.cumsum(used_R.long(), 0) - 1
    count = int(used_R.sum())
    return (place_R.clamp(min=0) * min(blocks, count)) // max(1, count)
