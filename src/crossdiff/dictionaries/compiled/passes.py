"""What the kernels do, on tensors.

The plain statements stand in `select.entries`, in `codes.SparseCodes`, and in `optimise` and `dictionaries.adam`;
`screen` says what `screened` is for.

Shapes: B tokens, F latents, I = models × width, N active entries, M rows of any tensor.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from crossdiff.dictionaries.adam import Rule
from crossdiff.dictionaries.compiled import choosing, cut, kernels, moving, stored
from crossdiff.dictionaries.parameters import Coarse

ROOM = 1 / 16
"""Share of the entries that there is room for at first; sparse codes hold fewer."""
ROW_WORK = 2
"""What writing a latent's gradients costs beside following one of its entries."""


def above(value_BF: Tensor, level_F: Tensor, weight_F: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entries with value > level ≥ 0, ascending: flat index (int64), value and value·weight (fp32), [N] each.

    value [B, F] contiguous, bf16 or fp32; level [F] of the same type; weight [F] fp32.
    """
    given = stored(value_BF), stored(level_F), weight_F.contiguous().numpy()
    return _found(choosing.above, choosing.above_parts, value_BF.shape, *given)


def coarse(value_MI: Tensor, out: Coarse | None = None) -> Coarse:
    """Rows of fp32 numbers as multiples −127 … 127 of a number for each row, in ``out`` if given."""
    if out is None:
        rows = len(value_MI)
        out = Coarse(torch.empty(value_MI.shape, dtype=torch.int8), torch.empty(rows), torch.empty(rows))
    given = [tensor.numpy() for tensor in (value_MI.contiguous(), *out)]
    _each(moving.coarse, moving.coarse_parts, cut(len(value_MI)), *given)
    return out


def sample(start_S: Tensor, run: int, sums_BF: Tensor, scale_B: Tensor, slope_F: Tensor, offset_F: Tensor) -> Tensor:
    """sums_bj · scale_b · slope_j + offset_j of runs of entries from flat indices ``start`` on, [S · run] fp32."""
    given = [tensor.numpy() for tensor in (sums_BF, scale_B, slope_F, offset_F)]
    return torch.from_numpy(choosing.sample(start_S.numpy(), run, *given))


def screened(
    sums_BF: Tensor, scale_B: Tensor, wider_F: Tensor, least_F: Tensor, wider_B: Tensor, input_BI: Tensor,
    encoder_FI: Tensor, bias_F: Tensor, weight_F: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Entries with (sums_bj + wider_j) · scale_b > least_j − wider_b, ascending: flat index (int64), value x·W + b and
    value·weight (fp32), [N] each.

    sums [B, F] int32; input [B, I] and encoder [F, I] bf16 or fp32; the others fp32.
    """
    tensors = sums_BF, scale_B, wider_F, least_F, wider_B, input_BI, encoder_FI, bias_F, weight_F
    given = [stored(tensor.contiguous()) for tensor in tensors]
    return _found(choosing.screen, choosing.screen_parts, sums_BF.shape, *given)


def _found(
    one: Callable[..., None], parts: Callable[..., None], shape: torch.Size, *given: np.ndarray
) -> tuple[Tensor, Tensor, Tensor]:
    """What a kernel writes of the entries that it finds, with room for all of them."""
    ends = cut(shape[0])
    count = len(ends) - 1
    room = 1024 + int(ROOM * shape.numel() / count)
    while True:
        found = [np.empty((count, room), kind) for kind in (np.int64, np.float32, np.float32)]
        taken_P = np.zeros(count, np.int64)
        _each(one, parts, ends, *given, *found, taken_P)
        if taken_P.max() <= room:
            break
        room = int(taken_P.max())
    joined = [np.concatenate([row[:taken] for row, taken in zip(each, taken_P, strict=True)]) for each in found]
    flat, value, score = map(torch.from_numpy, joined)
    return flat, value, score


def error(
    start_B: Tensor, latent_N: Tensor, value_N: Tensor, decoder_FI: Tensor, bias_I: Tensor, x_BI: Tensor
) -> Tensor:
    """x − (f · W + b) [B, I] fp32; token b's entries are start_b … start_{b+1} − 1."""
    given = [t.contiguous().numpy() for t in (start_B, latent_N, value_N, decoder_FI, bias_I, x_BI)]
    error_BI = torch.empty(x_BI.shape)
    _each(kernels.error, kernels.error_parts, cut(len(x_BI)), *given, error_BI.numpy())
    return error_BI


def by_latent(latent_N: Tensor, latents: int) -> tuple[Tensor, Tensor]:
    """Order of the entries by latent, stable, and where each latent starts [F + 1], int64 both."""
    order, start = kernels.by_latent(latent_N.numpy(), latents)
    return torch.from_numpy(order), torch.from_numpy(start)


def pull(
    order_N: Tensor, start_F: Tensor, token_N: Tensor, value_N: Tensor, decoder_FI: Tensor, delta_BI: Tensor,
    input_BI: Tensor, charge_F: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of encoder [F, I], its bias [F] and decoder [F, I], fp32, and what `measured` says of them.

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
    _each(kernels.pull, kernels.pull_parts, cut(len(decoder_FI), work_F), *given, *out)
    return gradients


def summed(weight_F: Tensor, rows_FI: Tensor) -> Tensor:
    """Σ_F weight · row, [I] fp32; rows bf16 or fp32."""
    sum_I = torch.empty(rows_FI.shape[1])
    given = [stored(tensor) for tensor in (weight_F, rows_FI, sum_I)]
    _each(kernels.summed, kernels.summed_parts, cut(len(sum_I)), *given)
    return sum_I


def measured(gradients: tuple[Tensor, Tensor, Tensor], decoder_FI: Tensor) -> Tensor:
    """[2, F] fp32: sum of squares of a latent's gradients (encoder [F, I], its bias [F], decoder [F, I]), and the
    product of the decoder's gradient with the decoder's row."""
    sums_2F = torch.empty(2, len(decoder_FI))
    given = [tensor.numpy() for tensor in (*gradients, decoder_FI, sums_2F)]
    _each(kernels.measure, kernels.measure_parts, cut(len(decoder_FI)), *given)
    return sums_2F


def update(
    parameter: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rule: Rule, *, along_M: Tensor | None = None,
    short: Tensor | None = None, eight: Coarse | None = None,
) -> None:  # fmt: skip
    """Move one contiguous fp32 tensor and its moments in place.

    ``along`` [M] says that its rows have norm 1, and holds their products with those of the gradient: what is parallel
    is taken from these, and the rows have norm 1 again. ``short`` [as ``parameter``, bf16] and ``eight`` take the
    outcome, too.
    """
    given = [tensor.view(len(parameter), -1).numpy() for tensor in (parameter, gradient, mean, square)]
    kept = np.empty((0, 0), np.int16) if short is None else stored(short)
    none = np.empty((0, 0), np.int8), np.empty(0, np.float32), np.empty(0, np.float32)
    coarsened = none if eight is None else [tensor.numpy() for tensor in eight]
    along = np.empty(0, np.float32) if along_M is None else along_M.numpy()
    factor = np.float32(1 if rule.factor is None else float(rule.factor))
    numbers = (np.float32(each) for each in (rule.rate, rule.root, *rule.betas))
    _each(moving.update, moving.update_parts, cut(len(parameter)), *given, kept, *coarsened, along, factor, *numbers)


def _each(one: Callable[..., None], parts: Callable[..., None], ends: np.ndarray, *given: object) -> None:
    """Run a kernel on all rows, in parts where there are several.

    One thread goes without numba's pool: its threads are as many as the cores, and wait for work by turning in circles,
    which would take the core of the training beside this one.
    """
    if len(ends) == 2:
        one(ends[0], ends[1], *given)
    else:
        parts(ends, *given)
