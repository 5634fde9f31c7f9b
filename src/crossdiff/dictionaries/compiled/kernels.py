"""Kernels of chosen entries: error, gradients and their squares.

A kernel with `_parts` in its name runs that without on parts of the rows, one for a thread. Entries are gone through
four at a time, so that what they are added to is read and written a quarter as often; a latent's decoder row is read
once for all its entries.

Shapes: B tokens, F latents, I = models × width, N entries, P parts.
"""

import numpy as np
from numba import njit, prange

from crossdiff.dictionaries.compiled.bits import OPTIONS, number


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
    chosen_N = order_N[start_F[first] : start_F[past]]
    token_N, value_N = token_N[chosen_N], value_N[chosen_N]
    for latent in range(first, past):
        row, encoder, decoder = decoder_FI[latent], encoder_out[latent], decoder_out[latent]
        charge = charge_F[latent]
        encoder[:] = 0
        decoder[:] = 0
        bias = np.float32(0)
        n, end = start_F[latent] - start_F[first], start_F[latent + 1] - start_F[first]
        while n + 4 <= end:
            b0, b1, b2, b3 = token_N[n], token_N[n + 1], token_N[n + 2], token_N[n + 3]
            f0, f1, f2, f3 = value_N[n], value_N[n + 1], value_N[n + 2], value_N[n + 3]
            d0, d1, d2, d3 = delta_BI[b0], delta_BI[b1], delta_BI[b2], delta_BI[b3]
            g0, g1, g2, g3 = charge, charge, charge, charge
            for i in range(width):
                w = row[i]
                e0, e1, e2, e3 = number(d0[i]), number(d1[i]), number(d2[i]), number(d3[i])
                g0 += w * e0
                g1 += w * e1
                g2 += w * e2
                g3 += w * e3
                decoder[i] += f0 * e0 + f1 * e1 + f2 * e2 + f3 * e3
            x0, x1, x2, x3 = input_BI[b0], input_BI[b1], input_BI[b2], input_BI[b3]
            for i in range(inputs):
                encoder[i] += g0 * number(x0[i]) + g1 * number(x1[i]) + g2 * number(x2[i]) + g3 * number(x3[i])
            bias += g0 + g1 + g2 + g3
            n += 4
        while n < end:
            b0, f0, g0 = token_N[n], value_N[n], charge
            d0, x0 = delta_BI[b0], input_BI[b0]
            for i in range(width):
                e0 = number(d0[i])
                g0 += row[i] * e0
                decoder[i] += f0 * e0
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
def summed_parts(ends, weight_F, rows_FI, sum_I):
    for part in prange(len(ends) - 1):
        summed(ends[part], ends[part + 1], weight_F, rows_FI, sum_I)


@njit(**OPTIONS)
def summed(first, past, weight_F, rows_FI, sum_I):
    total = sum_I[first:past]
    total[:] = 0
    f = 0
    while f + 4 <= len(weight_F):
        r0, r1 = rows_FI[f, first:past], rows_FI[f + 1, first:past]
        r2, r3 = rows_FI[f + 2, first:past], rows_FI[f + 3, first:past]
        w0, w1, w2, w3 = weight_F[f], weight_F[f + 1], weight_F[f + 2], weight_F[f + 3]
        for i in range(past - first):
            total[i] += w0 * number(r0[i]) + w1 * number(r1[i]) + w2 * number(r2[i]) + w3 * number(r3[i])
        f += 4
    while f < len(weight_F):
        row = rows_FI[f, first:past]
        for i in range(past - first):
            total[i] += weight_F[f] * number(row[i])
        f += 1
