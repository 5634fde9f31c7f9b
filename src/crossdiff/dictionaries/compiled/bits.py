"""What the kernels need of bfloat16, which numba does not know: numbers from bits, and bits from numbers."""

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from torch import Tensor


def stored(value: Tensor) -> np.ndarray:
    """A tensor as kernels read it; bits of bf16 numbers that are not negative keep their order as integers."""
    return value.view(torch.int16 if value.dtype == torch.bfloat16 else value.dtype).numpy()


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
