"""All that numba compiles for the training step and Adam, in one file: what it keeps, it keeps until the file changes.

A kernel with `_parts` in its name runs that without on parts of the rows, one for a thread. bf16 is held in
int16, for numba does not know it. Entries are gone through four at a time, so that what they are added to is read and
written a quarter as often; a latent's decoder row is read once for all its entries.

Shapes: B tokens, F latents, I = models × width, N active entries, P parts, M rows of any tensor.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic, overload

OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "nsz"},
    "error_model": "numpy",
    "cache": any(os.access(place, os.W_OK) for place in (Path(__file__).parent, Path("~").expanduser())),
}
"""Sums may be taken in another order than written, as PyTorch's are, but what is infinite or no number stays so. What
was compiled is kept, if there is a place."""
EPSILON = 1e-8
"""`dictionaries.adam.EPSILON`, which numba would not see change."""


@intrinsic
def float_of(_, bits):
    """fp32 of 32 bits."""

    def generate(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def bits_of(_, number):
    """32 bits of fp32."""

    def generate(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def number(stored: Any) -> Any:
    """fp32 of an fp32 number, or of the bits of a bf16 number held in an int16."""
    raise NotImplementedError("only within kernels")


@overload(number, inline="always")
def _number(stored):
    if stored == types.int16:
        return lambda stored: float_of(np.uint32(np.uint16(stored)) << np.uint32(16))
    return lambda stored: stored


@njit(inline="always")
def short(value):
    """Bits of the nearest bf16 number, ties to even, as int16; for finite numbers."""
    bits = bits_of(value)
    return np.int16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@njit(parallel=True, **OPTIONS)
def above_parts(ends, values_BF, levels_F, weights_F, flat_PN, value_PN, score_PN, taken_P):
    for part in prange(len(ends) - 1):
        one = slice(part, part + 1)
        above(
            ends[part], ends[part + 1], values_BF, levels_F, weights_F, flat_PN[one], value_PN[one], score_PN[one],
            taken_P[one],
        )  # fmt: skip


@njit(**OPTIONS)
def above(first, past, values_BF, levels_F, weights_F, flat_1N, value_1N, score_1N, taken_1):
    flat_N, value_N, score_N = flat_1N[0], value_1N[0], score_1N[0]
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
    taken_1[0] = taken


@njit(parallel=True, **OPTIONS)
def error_parts(ends, start_B, latent_N, value_N, decoder_FI, bias_I, x_BI, error_BI):
    for part in prange(len(ends) - 1):
        error(ends[part], ends[part + 1], start_B, latent_N, value_N, decoder_FI, bias_I, x_BI, error_BI)


@njit(**OPTIONS)
def error(first, past, start_B, latent_N, value_N, decoder_FI, bias_I, x_BI, error_BI):
    width = x_BI.shape[1]
    for token in range(first, past):
        row = error_BI[token]
        x = x_BI[token]
        for i in range(width):
            row[i] = x[i] - bias_I[i]
        n, end = start_B[token], start_B[token + 1]
        while n + 4 <= end:
            w0, w1 = decoder_FI[latent_N[n]], decoder_FI[latent_N[n + 1]]
            w2, w3 = decoder_FI[latent_N[n + 2]], decoder_FI[latent_N[n + 3]]
            f0, f1, f2, f3 = value_N[n], value_N[n + 1], value_N[n + 2], value_N[n + 3]
            for i in range(width):
                row[i] -= f0 * w0[i] + f1 * w1[i] + f2 * w2[i] + f3 * w3[i]
            n += 4
        while n < end:
            w0, f0 = decoder_FI[latent_N[n]], value_N[n]
            for i in range(width):
                row[i] -= f0 * w0[i]
            n += 1


@njit(**OPTIONS)
def by_latent(latent_N, latents):
    start_F = np.zeros(latents + 1, np.int64)
    for latent in latent_N:
        start_F[latent + 1] += 1
    for latent in range(latents):
        start_F[latent + 1] += start_F[latent]
    place_F = start_F[:-1].copy()
    order_N = np.empty(len(latent_N), np.int64)
    for n in range(len(latent_N)):
        order_N[place_F[latent_N[n]]] = n
        place_F[latent_N[n]] += 1
    return order_N, start_F


@njit(parallel=True, **OPTIONS)
def pull_parts(
    ends, order_N, start_F, token_N, value_N, decoder_FI, delta_BI, input_BI, charge_F, encoder, bias, decoder, sums
):
    for part in prange(len(ends) - 1):
        pull(
            ends[part], ends[part + 1], order_N, start_F, token_N, value_N, decoder_FI, delta_BI, input_BI, charge_F,
            encoder, bias, decoder, sums,
        )  # fmt: skip


@njit(**OPTIONS)
def pull(
    first, past, order_N, start_F, token_N, value_N, decoder_FI, delta_BI, input_BI, charge_F,
    encoder_out, bias_out, decoder_out, sums_2F,
):  # fmt: skip
    width, inputs = decoder_FI.shape[1], input_BI.shape[1]
    for latent in range(first, past):
        row, encoder, decoder = decoder_FI[latent], encoder_out[latent], decoder_out[latent]
        charge = charge_F[latent]
        encoder[:] = 0
        decoder[:] = 0
        bias = np.float32(0)
        n, end = start_F[latent], start_F[latent + 1]
        while n + 4 <= end:
            n0, n1, n2, n3 = order_N[n], order_N[n + 1], order_N[n + 2], order_N[n + 3]
            b0, b1, b2, b3 = token_N[n0], token_N[n1], token_N[n2], token_N[n3]
            f0, f1, f2, f3 = value_N[n0], value_N[n1], value_N[n2], value_N[n3]
            d0, d1, d2, d3 = delta_BI[b0], delta_BI[b1], delta_BI[b2], delta_BI[b3]
            g0, g1, g2, g3 = charge, charge, charge, charge
            for i in range(width):
                w = row[i]
                g0 += w * number(d0[i])
                g1 += w * number(d1[i])
                g2 += w * number(d2[i])
                g3 += w * number(d3[i])
            for i in range(width):
                decoder[i] += f0 * number(d0[i]) + f1 * number(d1[i]) + f2 * number(d2[i]) + f3 * number(d3[i])
            x0, x1, x2, x3 = input_BI[b0], input_BI[b1], input_BI[b2], input_BI[b3]
            for i in range(inputs):
                encoder[i] += g0 * number(x0[i]) + g1 * number(x1[i]) + g2 * number(x2[i]) + g3 * number(x3[i])
            bias += g0 + g1 + g2 + g3
            n += 4
        while n < end:
            b0, f0, g0 = token_N[order_N[n]], value_N[order_N[n]], charge
            d0, x0 = delta_BI[b0], input_BI[b0]
            for i in range(width):
                g0 += row[i] * number(d0[i])
            for i in range(width):
                decoder[i] += f0 * number(d0[i])
            for i in range(inputs):
                encoder[i] += g0 * number(x0[i])
            bias += g0
            n += 1
        bias_out[latent] = bias
        square, along = _measure(encoder, bias, decoder, row)
        sums_2F[0, latent] = square
        sums_2F[1, latent] = along


@njit(parallel=True, **OPTIONS)
def measure_parts(ends, encoder_FI, bias_F, decoder_FI, row_FI, sums_2F):
    for part in prange(len(ends) - 1):
        measure(ends[part], ends[part + 1], encoder_FI, bias_F, decoder_FI, row_FI, sums_2F)


@njit(**OPTIONS)
def measure(first, past, encoder_FI, bias_F, decoder_FI, row_FI, sums_2F):
    for latent in range(first, past):
        square, along = _measure(encoder_FI[latent], bias_F[latent], decoder_FI[latent], row_FI[latent])
        sums_2F[0, latent] = square
        sums_2F[1, latent] = along


@njit(**OPTIONS)
def _measure(encoder, bias, decoder, row):
    square, along = bias * bias, np.float32(0)
    for i in range(len(encoder)):
        square += encoder[i] * encoder[i]
    for i in range(len(decoder)):
        square += decoder[i] * decoder[i]
        along += decoder[i] * row[i]
    return square, along


@njit(parallel=True, **OPTIONS)
def update_parts(ends, parameter, gradient, mean, square, kept, along, factor, rate, root, beta, gamma):
    for part in prange(len(ends) - 1):
        update(
            ends[part], ends[part + 1], parameter, gradient, mean, square, kept, along, factor, rate, root, beta, gamma
        )  # fmt: skip


@njit(**OPTIONS)
def update(first, past, parameter, gradient, mean, square, kept, along, factor, rate, root, beta, gamma):
    for row in range(first, past):
        parallel = along[row] if len(along) else np.float32(0)
        _update(parameter[row], gradient[row], mean[row], square[row], parallel, factor, rate, root, beta, gamma)
        if len(along):
            _to_unit(parameter[row])
        if len(kept):
            _cast(parameter[row], kept[row])


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
