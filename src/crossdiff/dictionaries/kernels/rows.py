"""What an SAE's step does to whole rows of its decoder, each in one pass: gradients made orthogonal, rows made unit.

The plain statements are `optimise.remove_parallel` and `optimise.to_unit`.

Shapes: F latents, I = models × width.
"""

import triton
import triton.language as tl
from torch import Tensor

COLUMNS = 1024
"""Columns that a program, which has a row, reads at a time."""


def remove_parallel(gradient_FI: Tensor, unit_FI: Tensor) -> None:
    """Take from each row of the gradient what is parallel to the row of norm 1, in place. Contiguous fp32."""
    rows, width = unit_FI.shape
    _remove_parallel[(rows,)](gradient_FI, unit_FI, width, COLUMNS=COLUMNS)


def to_unit(matrix_FI: Tensor) -> None:
    """Scale each row to norm 1, in place. Contiguous fp32."""
    rows, width = matrix_FI.shape
    _to_unit[(rows,)](matrix_FI, width, COLUMNS=COLUMNS)


@triton.jit
def _dot(one_FI, two_FI, start, width, COLUMNS: tl.constexpr):
    """The dot product of this program's rows."""
    sums = tl.zeros([COLUMNS], tl.float32)
    for left in range(0, width, COLUMNS):
        column = left + tl.arange(0, COLUMNS)
        inside = column < width
        one = tl.load(one_FI + start + column, mask=inside, other=0.0)
        sums += one * tl.load(two_FI + start + column, mask=inside, other=0.0)
    return tl.sum(sums, 0)


@triton.jit
def _remove_parallel(gradient_FI, unit_FI, width, COLUMNS: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * width
    along = _dot(gradient_FI, unit_FI, start, width, COLUMNS)
    for left in range(0, width, COLUMNS):
        column = left + tl.arange(0, COLUMNS)
        inside = column < width
        gradient = tl.load(gradient_FI + start + column, mask=inside, other=0.0)
        unit = tl.load(unit_FI + start + column, mask=inside, other=0.0)
        tl.store(gradient_FI + start + column, gradient - along * unit, mask=inside)


@triton.jit
def _to_unit(matrix_FI, width, COLUMNS: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * width
    norm = tl.sqrt(_dot(matrix_FI, matrix_FI, start, width, COLUMNS))
    for left in range(0, width, COLUMNS):
        column = left + tl.arange(0, COLUMNS)
        inside = column < width
        row = tl.load(matrix_FI + start + column, mask=inside, other=0.0)
        tl.store(matrix_FI + start + column, row / norm, mask=inside)
