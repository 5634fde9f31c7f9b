"""Kernels that find entries: among values, or by sums of 8-bit numbers, whose candidates they multiply out.

A kernel with `_parts` in its name runs that without on parts of the rows, one for a thread. Candidates are gone through
four at a time, so that x is read a quarter as often.

Shapes: B tokens, F latents, I = models × width, N entries, S runs of a sample, P parts.
"""

import numpy as np
from numba import njit, prange

from crossdiff.dictionaries.compiled.bits import OPTIONS, number


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
    latents, taken = values_BF.shape[1], 0
    over_F = np.zeros(-(-latents // 8) * 8, np.bool_)
    for token in range(first, past):
        row_F, begun = values_BF[token], taken
        for latent in range(latents):
            over_F[latent] = row_F[latent] > levels_F[latent]
        taken = _listed(over_F, flat_N, taken)
        for n in range(begun, min(taken, len(flat_N))):
            latent = flat_N[n]
            value_N[n] = number(row_F[latent])
            score_N[n] = value_N[n] * weights_F[latent]
            flat_N[n] += token * latents
    taken_1[0] = taken


@njit(**OPTIONS)
def _listed(over_F, latent_N, taken):
    eight_G, room = over_F.view(np.uint64), len(latent_N)
    for group in range(len(eight_G)):
        if eight_G[group] != 0:
            for latent in range(8 * group, 8 * group + 8):
                if over_F[latent]:
                    if taken < room:
                        latent_N[taken] = latent
                    taken += 1
    return taken


@njit(**OPTIONS)
def sample(start_S, run, sums_BF, scale_B, slope_F, offset_F):
    latents = sums_BF.shape[1]
    score_SR = np.empty((len(start_S), run), np.float32)
    for s in range(len(start_S)):
        token, latent = divmod(start_S[s], latents)
        for r in range(run):
            whole = np.float32(sums_BF[token, latent])
            score_SR[s, r] = whole * scale_B[token] * slope_F[latent] + offset_F[latent]
            latent += 1
            if latent == latents:
                token, latent = token + 1, 0
    return score_SR.reshape(-1)


@njit(parallel=True, **OPTIONS)
def screen_parts(
    ends, sums_BF, scale_B, wider_F, least_F, wider_B, input_BI, encoder_FI, bias_F, weight_F, flat_PN, value_PN,
    score_PN, taken_P,
):  # fmt: skip
    for part in prange(len(ends) - 1):
        one = slice(part, part + 1)
        screen(
            ends[part], ends[part + 1], sums_BF, scale_B, wider_F, least_F, wider_B, input_BI, encoder_FI, bias_F,
            weight_F, flat_PN[one], value_PN[one], score_PN[one], taken_P[one],
        )  # fmt: skip


@njit(**OPTIONS)
def screen(
    first, past, sums_BF, scale_B, wider_F, least_F, wider_B, input_BI, encoder_FI, bias_F, weight_F, flat_1N,
    value_1N, score_1N, taken_1,
):  # fmt: skip
    flat_N, value_N, score_N = flat_1N[0], value_1N[0], score_1N[0]
    latents, taken = sums_BF.shape[1], 0
    over_F = np.zeros(-(-latents // 8) * 8, np.bool_)
    x = np.empty(input_BI.shape[1], np.float32)
    for token in range(first, past):
        row_F, scale, wider, begun = sums_BF[token], scale_B[token], wider_B[token], taken
        for latent in range(latents):
            over_F[latent] = (np.float32(row_F[latent]) + wider_F[latent]) * scale > least_F[latent] - wider
        taken = _listed(over_F, flat_N, taken)
        end = min(taken, len(flat_N))
        for i in range(len(x)):
            x[i] = number(input_BI[token, i])
        _products(x, encoder_FI, bias_F, flat_N[begun:end], value_N[begun:end])
        for n in range(begun, end):
            score_N[n] = value_N[n] * weight_F[flat_N[n]]
            flat_N[n] += token * latents
    taken_1[0] = taken


@njit(**OPTIONS)
def _products(x, encoder_FI, bias_F, latent_N, value_N):
    n = 0
    while n + 4 <= len(latent_N):
        j0, j1, j2, j3 = latent_N[n], latent_N[n + 1], latent_N[n + 2], latent_N[n + 3]
        w0, w1, w2, w3 = encoder_FI[j0], encoder_FI[j1], encoder_FI[j2], encoder_FI[j3]
        f0, f1, f2, f3 = bias_F[j0], bias_F[j1], bias_F[j2], bias_F[j3]
        for i in range(len(x)):
            f0 += x[i] * number(w0[i])
            f1 += x[i] * number(w1[i])
            f2 += x[i] * number(w2[i])
            f3 += x[i] * number(w3[i])
        value_N[n], value_N[n + 1], value_N[n + 2], value_N[n + 3] = f0, f1, f2, f3
        n += 4
    while n < len(latent_N):
        w, f = encoder_FI[latent_N[n]], bias_F[latent_N[n]]
        for i in range(len(x)):
            f += x[i] * number(w[i])
        value_N[n] = f
        n += 1
