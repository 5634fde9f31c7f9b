"""Tokens rebuilt from their active latents, and gradients returned to the latents.

The plain statements are `SparseCodes.error`, `by_latent` and `pull`. Entries are gone through four at a time, so that
what they are added to is read and written a quarter as often; a latent's decoder row is read once for all its entries.

Shapes: B tokens, F latents, I = models × width, N active entries.
"""

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from crossdiff.dictionaries.compiled import OPTIONS, cut
from crossdiff.dictionaries.compiled.bits import number, stored
from crossdiff.dictionaries.compiled.rows import measure

ROW_WORK = 2
"""What writing a latent's gradients costs beside following one of its entries."""


def error(
    start_B: Tensor, latent_N: Tensor, value_N: Tensor, decoder_FI: Tensor, bias_I: Tensor, x_BI: Tensor
) -> Tensor:
    """x − (f · W + b) [B, I] fp32; token b's entries are start_b … start_{b+1} − 1."""
    given = [t.contiguous().numpy() for t in (start_B, latent_N, value_N, decoder_FI, bias_I, x_BI)]
    error_BI = torch.empty(x_BI.shape)
    _error_parts(cut(len(x_BI)), *given, error_BI.numpy())
    return error_BI


def by_latent(latent_N: Tensor, latents: int) -> tuple[Tensor, Tensor]:
    """Order of the entries by latent, stable, and where each latent starts [F + 1], int64 both."""
    order, start = _by_latent(latent_N.numpy(), latents)
    return torch.from_numpy(order), torch.from_numpy(start)


def pull(
    order_N: Tensor, start_F: Tensor, token_N: Tensor, value_N: Tensor, decoder_FI: Tensor, delta_BI: Tensor,
    input_BI: Tensor, charge_F: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of encoder [F, I], its bias [F] and decoder [F, I], fp32, and what `rows.measured` says of them.

    Order and starts are those of `by_latent`; ∂loss/∂x̂ and the encoder's input may be bf16.
    """
    tensors = order_N, start_F, token_N, value_N, decoder_FI, delta_BI, input_BI, charge_F
    given = [stored(tensor.contiguous()) for tensor in tensors]
    latents, width = decoder_FI.shape
    gradients = (
        torch.empty(latents, input_BI.shape[1]),
        torch.empty(latents),
        torch.empty(latents, width),
        torch.empty(2, latents),
    )
    out = [tensor.numpy() for tensor in gradients]
    work_F = given[1] + ROW_WORK * np.arange(len(given[1]))
    _pull_parts(cut(len(decoder_FI), work_F), *given, *out)
    return gradients


@njit(parallel=True, **OPTIONS)
def _error_parts(ends, start_B, latent_N, value_N, decoder_FI, bias_I, x_BI, error_BI):
    for part in prange(len(ends) - 1):
        _error(ends[part], ends[part + 1], start_B, latent_N, value_N, decoder_FI, bias_I, x_BI, error_BI)


@njit(**OPTIONS)
def _error(first, past, start_B, latent_N, value_N, decoder_FI, bias_I, x_BI, error_BI):
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
def _by_latent(latent_N, latents):
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
def _pull_parts(
    ends, order_N, start_F, token_N, value_N, decoder_FI, delta_BI, input_BI, charge_F, encoder, bias, decoder, sums
):
    for part in prange(len(ends) - 1):
        _pull(
            ends[part], ends[part + 1], order_N, start_F, token_N, value_N, decoder_FI, delta_BI, input_BI, charge_F,
            encoder, bias, decoder, sums,
        )  # fmt: skip


@njit(**OPTIONS)
def _pull(
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
        square, along = measure(encoder, bias, decoder, row)
        sums_2F[0, latent] = square
        sums_2F[1, latent] = along
