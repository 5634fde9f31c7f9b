"""From ∂loss/∂x̂ back to the latents: both weight gradients and the encoder bias, latent by latent.

The plain statement is `codes.SparseCodes.pull`. Entries are sorted by latent, stably; a latent's entries are one
segment, summed in order by the program that owns it and written once. A latent that fires very often is cut into
chunks of `CHUNK` entries: their sums go to a spill, which a second kernel adds up in order.

Shapes: B tokens, F latents, I = models × width, N slots, C programs (chunks), S spilled chunks.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from crossdiff.dictionaries.codes import Pullback
from crossdiff.dictionaries.kernels.select import Chosen

CHUNK = 128
"""Entries of a latent that one program sums."""
ENTRIES = 4
"""Entries whose products are taken at a time; sums go entry by entry, by one warp that never waits for another."""
COLUMNS = 512
"""Columns a program works on."""


class Segments(NamedTuple):
    """Entries by latent, and which program sums what."""

    token_N: Tensor
    """int32, sorted by (latent, token)."""
    value_N: Tensor
    """fp32, likewise."""
    start_F: Tensor
    """int32 [F + 1], where each latent's entries start."""
    chunk_F: Tensor
    """int32 [F + 1], each latent's first chunk; every latent has one, be it empty."""
    spill_F: Tensor
    """int32 [F + 1], its first place in the spill; only latents of several chunks have places there."""
    latent_C: Tensor
    """int32, the latent of each chunk; F for programs with nothing to do."""
    latent_S: Tensor
    """int32, the latent of each place in the spill; F for places not used."""

    @property
    def fired_F(self) -> Tensor:
        """Latents with an entry, bool."""
        return self.start_F.diff() > 0


def segments(chosen: Chosen, latents: int) -> Segments:
    """Sort entries by latent. Sizes depend on the number of slots alone, so the host need not know what was chosen."""
    slots = len(chosen.latent_N)
    latent_N, order_N = chosen.latent_N.sort(stable=True)

    def numbers(end: int) -> Tensor:
        return torch.arange(end, dtype=torch.int32, device=latent_N.device)

    start_F = torch.searchsorted(latent_N, numbers(latents + 1), out_int32=True)
    chunks_F = (start_F.diff() + (CHUNK - 1)).div(CHUNK, rounding_mode="floor").clamp_min(1)
    chunk_F, spill_F = _starts(chunks_F), _starts(torch.where(chunks_F > 1, chunks_F, 0))
    return Segments(
        chosen.token_N.index_select(0, order_N), chosen.value_N.index_select(0, order_N), start_F, chunk_F, spill_F,
        torch.searchsorted(chunk_F[1:], numbers(latents + slots // CHUNK), out_int32=True, right=True),
        torch.searchsorted(spill_F[1:], numbers(max(1, 2 * slots // CHUNK)), out_int32=True, right=True),
    )  # fmt: skip


def pull(parts: Segments, decoder_FI: Tensor, delta_BI: Tensor, input_BI: Tensor) -> tuple[Pullback, Tensor]:
    """Gradients for ∂loss/∂x̂ = ``delta`` [B, I] and encoder input [B, I], and the sum of all their squares [], fp32.

    Both tensors are fp32 or both are bf16: they are read once for each entry, which bf16 halves.
    """
    latents, width = decoder_FI.shape
    chunks, spilled, blocks = len(parts.latent_C), len(parts.latent_S), triton.cdiv(width, COLUMNS)
    sizes = {"latents": latents, "width": width, "CHUNK": CHUNK, "COLUMNS": COLUMNS}
    where = parts.latent_C, parts.start_F, parts.chunk_F
    code_N = torch.empty_like(parts.value_N)
    _code_gradients[(chunks,)](*where, parts.token_N, decoder_FI, delta_BI, code_N, ENTRIES=ENTRIES, **sizes)

    def sums(rows: int) -> tuple[Tensor, Tensor, Tensor]:
        weight, bias = decoder_FI.new_empty(rows, width), decoder_FI.new_empty(rows)
        return weight, bias, torch.empty_like(weight)

    pulled, spill = sums(latents), sums(spilled)
    squares_CX, squares_SX = (decoder_FI.new_zeros(rows, blocks) for rows in (chunks, spilled))
    _sum_chunks[(chunks, blocks)](
        *where, parts.spill_F, parts.token_N, parts.value_N, code_N, delta_BI, input_BI, *pulled, *spill, squares_CX,
        **sizes, num_warps=1,
    )  # fmt: skip
    _sum_spill[(spilled, blocks)](
        parts.latent_S, parts.spill_F, *spill, *pulled, squares_SX, latents, width, COLUMNS=COLUMNS
    )
    return Pullback(*pulled), squares_CX.sum() + squares_SX.sum()


def _starts(count_F: Tensor) -> Tensor:
    """Where each latent starts when every one takes ``count`` places, and the end: [F + 1] int32."""
    return torch.nn.functional.pad(count_F.cumsum(0, dtype=torch.int32), (1, 0))


@triton.jit
def _chunk(latent, start_F, chunk_F, CHUNK: tl.constexpr):
    """First entry of this program's chunk, and its end."""
    first = tl.load(start_F + latent) + (tl.program_id(0) - tl.load(chunk_F + latent)) * CHUNK
    return first, tl.minimum(first + CHUNK, tl.load(start_F + latent + 1))


@triton.jit
def _code_gradients(
    latent_C, start_F, chunk_F, token_N, decoder_FI, delta_BI, code_N, latents, width,
    CHUNK: tl.constexpr, ENTRIES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """∂loss/∂f = ⟨W_j, δ_b⟩ of each entry."""
    latent = tl.load(latent_C + tl.program_id(0))
    if latent < latents:
        begin, end = _chunk(latent, start_F, chunk_F, CHUNK)
        for first in range(begin, end, ENTRIES):
            entry = first + tl.arange(0, ENTRIES)
            there = entry < end
            token = tl.load(token_N + entry, mask=there, other=0).to(tl.int64)
            sums = tl.zeros([ENTRIES, COLUMNS], tl.float32)
            for left in range(0, width, COLUMNS):
                column = left + tl.arange(0, COLUMNS)
                inside = column < width
                row = tl.load(decoder_FI + latent.to(tl.int64) * width + column, mask=inside, other=0.0)
                delta = tl.load(
                    delta_BI + token[:, None] * width + column[None, :],
                    mask=there[:, None] & inside[None, :],
                    other=0.0,
                )
                sums += row[None, :] * delta.to(tl.float32)
            tl.store(code_N + entry, tl.sum(sums, 1), mask=there)


@triton.jit
def _sum_chunks(
    latent_C, start_F, chunk_F, spill_F, token_N, value_N, code_N, delta_BI, input_BI,
    encoder_FI, bias_F, decoder_FI, encoder_SI, bias_S, decoder_SI, squares_CX, latents, width,
    CHUNK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Σ_b g·x, Σ_b g and Σ_b f·δ of a chunk, to the latent's row or, if it has several chunks, to the spill."""
    latent = tl.load(latent_C + tl.program_id(0))
    if latent < latents:
        begin, end = _chunk(latent, start_F, chunk_F, CHUNK)
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        inside = column < width
        encoder = tl.zeros([COLUMNS], tl.float32)
        decoder = tl.zeros([COLUMNS], tl.float32)
        bias = 0.0
        for entry in range(begin, end):
            code = tl.load(code_N + entry)
            place = tl.load(token_N + entry).to(tl.int64) * width + column
            encoder += code * tl.load(input_BI + place, mask=inside, other=0.0).to(tl.float32)
            decoder += tl.load(value_N + entry) * tl.load(delta_BI + place, mask=inside, other=0.0).to(tl.float32)
            bias += code
        spill = tl.load(spill_F + latent)
        if tl.load(spill_F + latent + 1) == spill:
            _store(encoder_FI, bias_F, decoder_FI, latent, width, column, inside, encoder, bias, decoder)
            _store_squares(squares_CX, encoder, bias, decoder)
        else:
            spill += tl.program_id(0) - tl.load(chunk_F + latent)
            _store(encoder_SI, bias_S, decoder_SI, spill, width, column, inside, encoder, bias, decoder)


@triton.jit
def _store(encoder_RI, bias_R, decoder_RI, row, width, column, inside, encoder, bias, decoder):
    place = row.to(tl.int64) * width + column
    tl.store(encoder_RI + place, encoder, mask=inside)
    tl.store(decoder_RI + place, decoder, mask=inside)
    if tl.program_id(1) == 0:
        tl.store(bias_R + row, bias)


@triton.jit
def _store_squares(squares_PX, encoder, bias, decoder):
    """The sum of squares of what this program stored, each bias counted once."""
    squares = tl.sum(encoder * encoder + decoder * decoder, 0)
    if tl.program_id(1) == 0:
        squares += bias * bias
    tl.store(squares_PX + tl.program_id(0) * tl.num_programs(1) + tl.program_id(1), squares)


@triton.jit
def _sum_spill(
    latent_S, spill_F, encoder_SI, bias_S, decoder_SI, encoder_FI, bias_F, decoder_FI, squares_SX, latents, width,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """Add up the chunks of a latent, in order; the program at its first place in the spill does it."""
    latent = tl.load(latent_S + tl.program_id(0))
    if latent < latents:
        begin = tl.load(spill_F + latent)
        if begin == tl.program_id(0):
            column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
            inside = column < width
            encoder = tl.zeros([COLUMNS], tl.float32)
            decoder = tl.zeros([COLUMNS], tl.float32)
            bias = 0.0
            place = begin.to(tl.int64) * width + column
            for chunk in range(begin, tl.load(spill_F + latent + 1)):
                encoder += tl.load(encoder_SI + place, mask=inside, other=0.0)
                decoder += tl.load(decoder_SI + place, mask=inside, other=0.0)
                bias += tl.load(bias_S + chunk)
                place += width
            _store(encoder_FI, bias_F, decoder_FI, latent, width, column, inside, encoder, bias, decoder)
            _store_squares(squares_SX, encoder, bias, decoder)
