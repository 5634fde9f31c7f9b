"""Kernels that move parameters: Adam, unit norms, and copies in bf16 and 8 bits.

A kernel with `_parts` in its name runs that without on parts of the rows, one for a thread.

Shapes: M rows of any tensor, I = models × width, P parts.
"""

import numpy as np
from numba import njit, prange

from crossdiff.dictionaries.compiled.bits import OPTIONS, bits_of, float_of, short

EPSILON = 1e-8
"""`dictionaries.adam.EPSILON`, which numba would not see change."""
LARGEST = 127
"""Of the 8-bit numbers in use: as far from 0 on both sides."""
TINY = 1e-30
"""A row without a larger number counts as zeros."""
LOST = 1 / 3
"""Share of a row's numbers that may round to 0; beyond it errors are no longer chance but what the row was."""


@njit(parallel=True, **OPTIONS)
def coarse_parts(ends, value_MI, eight_MI, scale_M, reach_M):
    for part in prange(len(ends) - 1):
        coarse(ends[part], ends[part + 1], value_MI, eight_MI, scale_M, reach_M)


@njit(**OPTIONS)
def coarse(first, past, value_MI, eight_MI, scale_M, reach_M):
    for row in range(first, past):
        scale_M[row], reach_M[row] = _coarse(value_MI[row], eight_MI[row])


@njit(**OPTIONS)
def _coarse(row, eight):
    bits = np.uint32(0)
    for i in range(len(row)):  # without their sign, bits of fp32 numbers keep the numbers' order
        bits = max(bits, bits_of(row[i]) & np.uint32(0x7FFFFFFF))
    most = float_of(bits)
    inverse = np.float32(LARGEST) / most if most > np.float32(TINY) else np.float32(0)
    square, lost = np.float32(0), np.float32(0)
    for i in range(len(row)):
        multiple = np.rint(row[i] * inverse)
        eight[i] = np.int8(multiple)
        square += row[i] * row[i]
        lost += np.float32((multiple == 0) & (row[i] != 0))
    if lost > np.float32(LOST) * len(row):
        square = np.float32(np.inf)
    return most / np.float32(LARGEST), np.sqrt(square / np.float32(12))


@njit(parallel=True, **OPTIONS)
def update_parts(
    ends, parameter, gradient, mean, square, kept, eight, scale, reach, along, factor, rate, root, beta, gamma
):
    for part in prange(len(ends) - 1):
        update(
            ends[part], ends[part + 1], parameter, gradient, mean, square, kept, eight, scale, reach, along, factor,
            rate, root, beta, gamma,
        )  # fmt: skip


@njit(**OPTIONS)
def update(
    first, past, parameter, gradient, mean, square, kept, eight, scale, reach, along, factor, rate, root, beta, gamma
):
    for row in range(first, past):
        parallel = along[row] if len(along) else np.float32(0)
        _update(parameter[row], gradient[row], mean[row], square[row], parallel, factor, rate, root, beta, gamma)
        if len(along):
            _to_unit(parameter[row])
        if len(kept):
            _cast(parameter[row], kept[row])
        if len(eight):
            scale[row], reach[row] = _coarse(parameter[row], eight[row])


@njit(**OPTIONS)
def _update(parameter, gradient, mean, square, parallel, factor, rate, root, beta, gamma):
    one, epsilon = np.float32(1), np.float32(EPSILON)
    for i in range(len(parameter)):
        given = (gradient[i] - parallel * parameter[i]) * factor
        moved = mean[i] + (one - beta) * (given - mean[i])
        spread = gamma * square[i] + (one - gamma) * given * given
        mean[i] = moved
        square[i] = spread
        parameter[i] -= rate * moved / (np.sqrt(spread) * root + epsilon)


@njit(**OPTIONS)
def _to_unit(row):
    total = np.float32(0)
    for i in range(len(row)):
        total += row[i] * row[i]
    inverse = np.float32(1) / np.sqrt(total)
    for i in range(len(row)):
        row[i] *= inverse


@njit(**OPTIONS)
def _cast(row, kept):
    for i in range(len(row)):
        kept[i] = short(row[i])
