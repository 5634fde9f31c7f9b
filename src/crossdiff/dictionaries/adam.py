"""Adam with moments of 32, 16 or 8 bits, stated plainly; `kernels.adam` does the same in one pass.

Moments are read, moved on in fp32, used, and rounded when they are stored: up or down by chance, so that rounding errs
to neither side on average and small changes are not lost (round to nearest would never let 0.999·v shrink). Chance is
Philox, a function of step, tensor and entry: a run repeats, and goes on after an interruption as if there was none.

``bfloat16`` keeps 8 of a number's 24 bits of precision. ``float8`` keeps a byte an entry, and the exponent of the
largest of each `BLOCK` entries, from which the entries' exponents are counted down: for squares 5 bits of exponent
and 3 of mantissa (the smallest is 2^-30 of the largest), for means 4 and 3 and a sign. A square above 0 never rounds
to 0, for the mean is divided by its root. All is done on whole numbers, so both implementations round alike.

Shapes: M entries of a tensor, K blocks.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from crossdiff.dictionaries import kernels
from crossdiff.dictionaries.recipe import Moment

BLOCK = 256
"""Entries that share an exponent. Philox gives four words at a time: entries i of four blocks in a row share a call."""
PIECE = 2**18
"""Entries moved at a time, a multiple of 4 · `BLOCK`; bounds the memory for temporaries."""
KEY = 0x5DEECE66D
"""Key of the random words. The same for all seeds of a study: what is rounded differs."""
EPSILON = 1e-8
SQUARE_TOP, MEAN_TOP = 248, 120
"""Code of the power of two above a block's largest entry; a square's byte has 8 bits for it, a mean's 7 and a sign."""
DTYPES: dict[Moment, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float8": torch.uint8}


class Rule(NamedTuple):
    """What a step does to every entry."""

    rate: float
    """Learning rate over 1 − β₁^t."""
    root: float
    """1 / √(1 − β₂^t), multiplies the root of the moving square."""
    betas: tuple[float, float]
    step: int
    """0, 1, …; with the tensor's number and the entry's place it decides the rounding."""
    factor: Tensor | None
    """fp32 [], multiplies gradients (clipping)."""


def rule(rate: float, betas: tuple[float, float], step: int, factor: Tensor | None) -> Rule:
    """Of step 0, 1, … at a learning rate."""
    mean, square = (1 - beta ** (step + 1) for beta in betas)
    return Rule(rate / mean, 1 / math.sqrt(square), betas, step, factor)


def move(tensors: list[list[Tensor]], exponents: list[Tensor], rule: Rule) -> None:
    """Move a dictionary: its parameters, gradients, means and squares, each a list in the same order.

    By the kernel on a GPU, elsewhere by its plain statement.
    """
    one = update
    if kernels.serve(tensors[0][0]):
        from crossdiff.dictionaries.kernels.adam import update as one
    for number, (parameter, gradient, mean, square) in enumerate(zip(*tensors, strict=True)):
        one(parameter, gradient, mean, square, exponents[number] if exponents else None, rule, number)


def no_exponents(tensor: Tensor) -> Tensor:
    """Exponents of the blocks of a tensor's means and squares, uint8 [2, K], before the first step."""
    return torch.zeros(2, -(-tensor.numel() // BLOCK), dtype=torch.uint8, device=tensor.device)


def update(
    parameter: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, exponents: Tensor | None, rule: Rule, number: int
) -> None:
    """Move one contiguous tensor, the ``number``-th of its dictionary, and its moments, all in place."""
    flat = [tensor.view(-1) for tensor in (parameter, gradient, mean, square)]
    for first in range(0, len(flat[0]), PIECE):
        parameter_M, gradient_M, mean_M, square_M = (tensor[first : first + PIECE] for tensor in flat)
        pair = None if exponents is None else exponents[:, first // BLOCK : (first + PIECE) // BLOCK]
        word_M = words(first, len(mean_M), number, rule.step, mean.device)
        given_M = gradient_M if rule.factor is None else gradient_M * rule.factor
        new_mean_M = read_mean(mean_M, None if pair is None else pair[0])
        new_mean_M = new_mean_M + (1 - rule.betas[0]) * (given_M - new_mean_M)
        new_square_M = read_square(square_M, None if pair is None else pair[1])
        new_square_M = rule.betas[1] * new_square_M + (1 - rule.betas[1]) * given_M * given_M
        parameter_M -= rule.rate * new_mean_M / (new_square_M.sqrt() * rule.root + EPSILON)
        keep(new_mean_M, mean_M, None if pair is None else pair[0], word_M & 0xFFFF, signed=True)
        keep(new_square_M, square_M, None if pair is None else pair[1], word_M >> 16, signed=False)


def read_mean(stored_M: Tensor, top_K: Tensor | None) -> Tensor:
    """Means in fp32."""
    if top_K is None:
        return stored_M.float()
    value_M = _unpack(stored_M & 127, top_K, MEAN_TOP)
    return torch.where(stored_M > 127, -value_M, value_M)


def read_square(stored_M: Tensor, top_K: Tensor | None) -> Tensor:
    """Squares in fp32."""
    return stored_M.float() if top_K is None else _unpack(stored_M, top_K, SQUARE_TOP)


def keep(value_M: Tensor, stored_M: Tensor, top_K: Tensor | None, chance_M: Tensor, *, signed: bool) -> None:
    """Round fp32 moments into ``stored`` (and ``top``), in place; ``chance`` are 16 random bits an entry."""
    bits_M = value_M.contiguous().view(torch.int32)
    if stored_M.dtype == torch.bfloat16:
        value_M = ((bits_M + chance_M.int()) & -0x10000).view(torch.float32)
    elif top_K is not None:
        value_M = _pack(bits_M & 0x7FFFFFFF, top_K, MEAN_TOP if signed else SQUARE_TOP, chance_M.int())
        value_M = value_M + 128 * (bits_M < 0) if signed else torch.maximum(value_M, (bits_M > 0).int())
    stored_M.copy_(value_M)


def _pack(bits_M: Tensor, top_K: Tensor, top_code: int, chance_M: Tensor) -> Tensor:
    """Codes of numbers that are not negative, given by their bits; writes the exponents of the blocks."""
    top_K.copy_(_blocks(bits_M).amax(1) >> 23)
    code_M = ((bits_M + (chance_M << 4)) >> 20) - _base(top_K, top_code, len(bits_M))
    return code_M.clamp_(0, 255 if top_code == SQUARE_TOP else 127)


def _unpack(code_M: Tensor, top_K: Tensor, top_code: int) -> Tensor:
    upper_M = (code_M.int() + _base(top_K, top_code, len(code_M))).clamp_(min=0) << 20
    return torch.where(code_M > 0, upper_M, 0).view(torch.float32)


def _base(top_K: Tensor, top_code: int, entries: int) -> Tensor:
    """What a code lacks to the upper 11 bits of its number (exponent and 3 of the mantissa), for every entry."""
    return ((top_K.int() + 1) * 8 - top_code).repeat_interleave(BLOCK)[:entries]


def _blocks(value_M: Tensor) -> Tensor:
    """[K, BLOCK], the last block filled up with zeros."""
    return pad(value_M, (0, -len(value_M) % BLOCK)).view(-1, BLOCK)


def words(first: int, entries: int, number: int, step: int, device: torch.device) -> Tensor:
    """32 random bits for each of the entries ``first``, … of a tensor, int64; ``first`` is a multiple of 4 · BLOCK."""
    groups = -(-entries // (4 * BLOCK))
    counter_GE = torch.arange(groups * BLOCK, device=device).view(groups, BLOCK) + first // 4
    return torch.stack(philox(counter_GE, number, step), 1).view(-1)[:entries]


def philox(counter: Tensor, number: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10 (Salmon et al. 2011) of the counter (counter, number, step, 0) under `KEY`, as int64 < 2^32."""
    mask = 2**32 - 1
    c0, c1, c2, c3 = (
        counter,
        torch.full_like(counter, number),
        torch.full_like(counter, step),
        torch.zeros_like(counter),
    )
    low, high = KEY & mask, KEY >> 32
    for _ in range(10):
        one, two = c0 * 0xD2511F53, c2 * 0xCD9E8D57  # the product's upper half is right although it overflows int64
        c0, c1, c2, c3 = ((two >> 32) & mask) ^ c1 ^ low, two & mask, ((one >> 32) & mask) ^ c3 ^ high, one & mask
        low, high = (low + 0x9E3779B9) & mask, (high + 0xBB67AE85) & mask
    return c0, c1, c2, c3
