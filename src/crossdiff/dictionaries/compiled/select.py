"""The pass that finds the entries above a level, with their values and scores.

The plain statement is `select.candidates`. A row is compared as a whole, then eight answers are read at once.
Shapes: B tokens, F latents, N entries found, P parts of the rows.
"""

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from crossdiff.dictionaries.compiled import OPTIONS, cut
from crossdiff.dictionaries.compiled.bits import number, stored

ROOM = 1 / 16
"""Share of the entries there is room for at first; sparse codes hold fewer."""


def above(value_BF: Tensor, level_F: Tensor, weight_F: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entries with value > level ≥ 0, ascending: flat index (int64), value and value·weight (fp32), [N] each.

    value [B, F] contiguous, bf16 or fp32; level [F] of the same type; weight [F] fp32.
    """
    values, levels, weights = stored(value_BF), stored(level_F), weight_F.contiguous().numpy()
    ends = cut(len(values))
    room = 1024 + int(ROOM * values.size / len(ends))
    while True:
        found = [np.empty((len(ends) - 1, room), kind) for kind in (np.int64, np.float32, np.float32)]
        taken_P = _above_parts(ends, values, levels, weights, *found)
        if taken_P.max() <= room:
            break
        room = int(taken_P.max())
    joined = [np.concatenate([row[:taken] for row, taken in zip(each, taken_P, strict=True)]) for each in found]
    flat, value, score = map(torch.from_numpy, joined)
    return flat, value, score


@njit(parallel=True, **OPTIONS)
def _above_parts(ends, values_BF, levels_F, weights_F, flat_PN, value_PN, score_PN):
    taken_P = np.zeros(len(flat_PN), np.int64)
    for part in prange(len(flat_PN)):
        taken_P[part] = _above(
            ends[part], ends[part + 1], values_BF, levels_F, weights_F, flat_PN[part], value_PN[part], score_PN[part]
        )  # fmt: skip
    return taken_P


@njit(**OPTIONS)
def _above(first, past, values_BF, levels_F, weights_F, flat_N, value_N, score_N):
    latents, room, taken = values_BF.shape[1], len(flat_N), 0
    over_F = np.zeros(-(-latents // 8) * 8, np.bool_)
    eight_G = over_F.view(np.uint64)
    for token in range(first, past):
        row_F = values_BF[token]
        for latent in range(latents):
            over_F[latent] = row_F[latent] > levels_F[latent]
        for group in range(len(eight_G)):
            if eight_G[group] != 0:
                for latent in range(8 * group, 8 * group + 8):
                    if over_F[latent]:
                        if taken < room:
                            flat_N[taken] = token * latents + latent
                            value_N[taken] = number(row_F[latent])
                            score_N[taken] = value_N[taken] * weights_F[latent]
                        taken += 1
    return taken
