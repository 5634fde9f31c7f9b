"""Rebuild tokens from their entries: x̂ = Σ f·W + b and what is missing to x, summed in fp32.

The plain statement is `codes.SparseCodes.decode`. Programs that run at the same time work on the same columns, so that
those columns of the decoder, some tens of megabytes, stay in the L2 cache while all tokens pass.

Shapes: B tokens, F latents, I = models × width, N slots.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from crossdiff.dictionaries.kernels.select import Chosen

COLUMNS = 128
"""Columns a program sums."""
ENTRIES = 8
"""Entries it reads at a time."""


def error_of(chosen: Chosen, decoder_FI: Tensor, bias_I: Tensor, x_BI: Tensor) -> Tensor:
    """x − x̂, [B, I] fp32."""
    tokens, width = x_BI.shape
    error_BI = torch.empty_like(x_BI)
    _error[(tokens, triton.cdiv(width, COLUMNS))](
        chosen.start_B, chosen.latent_N, chosen.value_N, decoder_FI, bias_I, x_BI, error_BI, width,
        ENTRIES=ENTRIES, COLUMNS=COLUMNS,
    )  # fmt: skip
    return error_BI


@triton.jit
def _error(
    start_B, latent_N, value_N, decoder_FI, bias_I, x_BI, error_BI, width, ENTRIES: tl.constexpr, COLUMNS: tl.constexpr
):
    token = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    sums = tl.zeros([ENTRIES, COLUMNS], tl.float32)
    end = tl.load(start_B + token + 1)
    for first in range(tl.load(start_B + token), end, ENTRIES):
        entry = first + tl.arange(0, ENTRIES)
        there = entry < end
        latent = tl.load(latent_N + entry, mask=there, other=0).to(tl.int64)
        value = tl.load(value_N + entry, mask=there, other=0.0)
        rows = tl.load(
            decoder_FI + latent[:, None] * width + column[None, :], mask=there[:, None] & inside[None, :], other=0.0
        )
        sums += value[:, None] * rows
    place = token.to(tl.int64) * width + column
    rebuilt = tl.sum(sums, 0) + tl.load(bias_I + column, mask=inside, other=0.0)
    tl.store(error_BI + place, tl.load(x_BI + place, mask=inside, other=0.0) - rebuilt, mask=inside)
