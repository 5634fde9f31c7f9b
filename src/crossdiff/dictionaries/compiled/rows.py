"""Sums over rows of the gradients.

The plain statements stand in `optimise` (`clip`, `remove_parallel`).
Shapes: F latents, I entries of a row.
"""

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from crossdiff.dictionaries.compiled import OPTIONS, cut


def measured(gradients: tuple[Tensor, Tensor, Tensor], decoder_FI: Tensor) -> Tensor:
    """[2, F] fp32: sum of squares of a latent's gradients (encoder [F, I], its bias [F], decoder [F, I]), and the
    product of the decoder's gradient with the decoder's row."""
    sums_2F = torch.empty(2, len(decoder_FI))
    given = [tensor.numpy() for tensor in (*gradients, decoder_FI, sums_2F)]
    _measure_parts(cut(len(decoder_FI)), *given)
    return sums_2F


@njit(parallel=True, **OPTIONS)
def _measure_parts(ends, encoder_FI, bias_F, decoder_FI, row_FI, sums_2F):
    for part in prange(len(ends) - 1):
        for latent in range(ends[part], ends[part + 1]):
            square, along = measure(encoder_FI[latent], bias_F[latent], decoder_FI[latent], row_FI[latent])
            sums_2F[0, latent] = square
            sums_2F[1, latent] = along


@njit(**OPTIONS)
def measure(encoder, bias, decoder, row):
    """What `measured` says of one latent."""
    square, along = bias * bias, np.float32(0)
    for i in range(len(encoder)):
        square += encoder[i] * encoder[i]
    for i in range(len(decoder)):
        square += decoder[i] * decoder[i]
        along += decoder[i] * row[i]
    return square, along
