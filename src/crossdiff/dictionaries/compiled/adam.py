"""Adam and what surrounds it, a row at a time: each entry is read and written once.

The plain statements are `adam.update`, `optimise.remove_parallel`, `optimise.to_unit` and a cast.
Shapes: M rows, I entries a row, P parts of the rows.
"""

import numpy as np
from numba import njit, prange
from torch import Tensor

from crossdiff.dictionaries.adam import EPSILON, Rule
from crossdiff.dictionaries.compiled import OPTIONS, cut
from crossdiff.dictionaries.compiled.bits import short, stored


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
    _update_parts(cut(len(parameter)), *given, kept, along, factor, *numbers)


@njit(parallel=True, **OPTIONS)
def _update_parts(ends, parameter, gradient, mean, square, kept, along, factor, rate, root, beta, gamma):
    for part in prange(len(ends) - 1):
        for row in range(ends[part], ends[part + 1]):
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
