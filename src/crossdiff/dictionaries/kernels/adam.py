"""Adam in one pass over a tensor: read parameter, gradient and moments, write parameter and moments.

Says in Triton what `crossdiff.dictionaries.adam` says in PyTorch: formats, rounding and random words are described
there. A program moves four blocks, which share their calls of Philox.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from crossdiff.dictionaries import adam
from crossdiff.dictionaries.adam import Rule

BLOCK, KEY, EPSILON, MEAN_TOP, SQUARE_TOP = (
    tl.constexpr(value) for value in (adam.BLOCK, adam.KEY, adam.EPSILON, adam.MEAN_TOP, adam.SQUARE_TOP)
)


def update(
    parameter: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, exponents: Tensor | None, rule: Rule, number: int
) -> None:
    """Move one contiguous tensor, the ``number``-th of its dictionary, and its moments, all in place."""
    bits = 8 * mean.element_size()
    if bits == 16:  # the kernel rounds bits, not numbers
        mean, square = mean.view(torch.int16), square.view(torch.int16)
    tops = (mean, square) if exponents is None else (exponents[0], exponents[1])
    entries = parameter.numel()
    _move[(triton.cdiv(entries, 4 * adam.BLOCK),)](
        parameter, gradient, mean, square, *tops, parameter if rule.factor is None else rule.factor, entries,
        rule.rate, rule.root, 1 - rule.betas[0], rule.betas[1], 1 - rule.betas[1], rule.step, number,
        BITS=bits, CLIPPED=rule.factor is not None, num_warps=2,
    )  # fmt: skip


@triton.jit(do_not_specialize=["step", "number"])
def _move(
    parameter_M, gradient_M, mean_M, square_M, mean_top_K, square_top_K, factor, entries,
    rate, root, mean_gain, square_decay, square_gain, step, number, BITS: tl.constexpr, CLIPPED: tl.constexpr,
):  # fmt: skip
    group = tl.program_id(0)
    scale = 1.0
    if CLIPPED:
        scale = tl.load(factor)
    counter = group * BLOCK + tl.arange(0, BLOCK)
    words = counter, counter, counter, counter
    if BITS < 32:
        words = tl.philox(KEY, counter, number, step, 0)
    for part in tl.static_range(4):
        block = group.to(tl.int64) * 4 + part
        entry = block * BLOCK + tl.arange(0, BLOCK)
        inside = entry < entries
        there = block * BLOCK < entries
        mean = _read(mean_M, mean_top_K, entry, inside, block, there, MEAN_TOP, BITS)
        square = _read(square_M, square_top_K, entry, inside, block, there, SQUARE_TOP, BITS)
        gradient = tl.load(gradient_M + entry, mask=inside, other=0.0) * scale
        mean = mean + mean_gain * (gradient - mean)
        square = square_decay * square + square_gain * gradient * gradient
        parameter = tl.load(parameter_M + entry, mask=inside, other=0.0)
        parameter -= rate * mean / (tl.sqrt(square) * root + EPSILON)
        tl.store(parameter_M + entry, parameter, mask=inside)
        word = words[part]
        _keep(mean, mean_M, mean_top_K, entry, inside, block, there, (word & 0xFFFF).to(tl.int32), MEAN_TOP, BITS)
        _keep(square, square_M, square_top_K, entry, inside, block, there, (word >> 16).to(tl.int32), SQUARE_TOP, BITS)


@triton.jit
def _read(stored_M, top_K, entry, inside, block, there, TOP: tl.constexpr, BITS: tl.constexpr):
    """A block's moments in fp32."""
    if BITS == 32:
        return tl.load(stored_M + entry, mask=inside, other=0.0)
    elif BITS == 16:
        return (tl.load(stored_M + entry, mask=inside, other=0).to(tl.int32) << 16).to(tl.float32, bitcast=True)
    else:
        code = tl.load(stored_M + entry, mask=inside, other=0).to(tl.int32)
        size = code & 127 if TOP == MEAN_TOP else code
        base = (tl.load(top_K + block, mask=there, other=0).to(tl.int32) + 1) * 8 - TOP
        bits = tl.where(size > 0, tl.maximum(size + base, 0) << 20, 0)
        value = bits.to(tl.float32, bitcast=True)
        return tl.where(size < code, -value, value)


@triton.jit
def _keep(value, stored_M, top_K, entry, inside, block, there, chance, TOP: tl.constexpr, BITS: tl.constexpr):
    """Round a block's moments with 16 random bits each, and store them."""
    bits = value.to(tl.int32, bitcast=True)
    if BITS == 32:
        tl.store(stored_M + entry, value, mask=inside)
    elif BITS == 16:
        tl.store(stored_M + entry, ((bits + chance) >> 16).to(tl.int16), mask=inside)
    else:
        size = tl.where(inside, bits & 0x7FFFFFFF, 0)
        top = tl.max(size, 0) >> 23
        code = ((size + (chance << 4)) >> 20) - ((top + 1) * 8 - TOP)
        if TOP == MEAN_TOP:
            code = tl.minimum(tl.maximum(code, 0), 127) + tl.where(bits < 0, 128, 0)
        else:
            code = tl.minimum(tl.maximum(code, tl.where(size > 0, 1, 0)), 255)
        tl.store(stored_M + entry, code.to(tl.uint8), mask=inside)
        tl.store(top_K + block, top.to(tl.uint8), mask=there)
