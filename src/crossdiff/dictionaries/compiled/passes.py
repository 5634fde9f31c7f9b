"""What the kernels do, on tensors.

The plain statements stand in `select.entries`, in `codes.SparseCodes`, and in `optimise` and `dictionaries.adam`.

Shapes: B tokens, F latents, I = models × width, N active entries, M rows of any tensor.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from crossdiff.dictionaries.adam import Rule
from crossdiff.dictionaries.compiled import cut, kernels

ROOM = 1 / 16
"""Share of the entries that there is room for at first; sparse codes hold fewer."""
ROW_WORK = 2
"""What writing a latent's gradients costs beside following one of its entries."""


def above(value_BF: Tensor, level_F: Tensor, weight_F: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entries with value > level ≥ 0, ascending: flat index (int64), value and value·weight (fp32), [N] each.

    value [B, F] contiguous, bf16 or fp32; level [F] of the same type; weight [F] fp32.
    """
    given = stored(value_BF), stored(level_F), weight_F.contiguous().numpy()
    ends = cut(len(value_BF))
    parts = len(ends) - 1
    room = 1024 + int(ROOM * value_BF.numel() / parts)
    while True:
        found = [np.empty((parts, room), kind) for kind in (np.int64, np.float32, np.float32)]
        taken_P = np.zeros(parts, np.int64)
        _each(kernels.above, kernels.above_parts, ends, *given, *found, taken_P)
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


def measured(gradients: tuple[Tensor, Tensor, Tensor], decoder_FI: Tensor) -> Tensor:
    """[2, F] fp32: sum of squares of a latent's gradients (encoder [F, I], its bias [F], decoder [F, I]), and the
    product of the decoder's gradient with the decoder's row."""
    sums_2F = torch.empty(2, len(decoder_FI))
    given = [tensor.numpy() for tensor in (*gradients, decoder_FI, sums_2F)]
    _each(kernels.measure, kernels.measure_parts, cut(len(decoder_FI)), *given)
    return sums_2F


def update(
    parameter: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rule: Rule, *, along_M: Tensor | None = None,
    copy: Tensor | None = None,
) -> None:  # fmt: skip
    """Move one contiguous fp32 tensor and its moments in place.

    ``along`` [M] says that its rows have norm 1, and holds their products with those of the gradient: what is parallel
    is taken from these, and the rows have norm 1 again. ``copy`` [as ``parameter``, bf16] takes the outcome, too.
    """
    given = [tensor.view(len(parameter), -1).numpy() for tensor in (parameter, gradient, mean, square)]
    kept = np.empty((0, 0), np.int16) if copy is None else stored(copy)
    along = np.empty(0, np.float32) if along_M is None else along_M.numpy()
    factor = np.float32(1 if rule.factor is None else float(rule.factor))
    numbers = (np.float32(each) for each in (rule.rate, rule.root, *rule.betas))
    _each(kernels.update, kernels.update_parts, cut(len(parameter)), *given, kept, along, factor, *numbers)


def _each(one: Callable[..., None], parts: Callable[..., None], ends: np.ndarray, *given: object) -> None:
    """Run a kernel on all rows, in parts where there are several.

    One thread goes without numba's pool: its threads are as many as the cores, and wait for work by turning in circles,
    which would take the core of the training beside this one.
    """
    if len(ends) == 2:
        one(ends[0], ends[1], *given)
    else:
        parts(ends, *given)


def stored(value: Tensor) -> np.ndarray:
    """A tensor as kernels read it; bits of bf16 numbers that are not negative keep their order as integers."""
    return value.view(torch.int16 if value.dtype == torch.bfloat16 else value.dtype).numpy()
