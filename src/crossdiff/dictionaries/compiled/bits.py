"""What all kernels share: how numba compiles them, and bf16 numbers, which it does not know, held in int16.

numba keeps what it compiled of a file until that file changes, not what it calls elsewhere: who changes this one has
to remove the `__pycache__` beside it.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "nsz"},
    "error_model": "numpy",
    "cache": any(os.access(place, os.W_OK) for place in (Path(__file__).parent, Path("~").expanduser())),
}
"""Sums may be taken in another order than written, as PyTorch's are, but what is infinite or no number stays so. What
was compiled is kept, if there is a place."""


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
