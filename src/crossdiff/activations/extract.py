"""Read the stream after block ℓ of both models on the same token ids.

Rows are batched by length, longest first, under a token budget, and padded on the right; the models end at the site
and padding is dropped at once, so it is neither stored nor counted. Attention is causal, so no token sees the padding
behind it, and the models need no mask: the fused kernels are faster without one. (`checks.check_invariance` would
catch a model for which that is not so.) A shard depends on nothing outside itself: its rows, the models and the
settings fix its bytes.

N tokens of all rows, R rows, n tokens of a shard, B rows of a batch, T positions, L models (0 base, 1 chat), D width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel

from crossdiff.activations.landing import Landing
from crossdiff.pair.blocks import read_site
from crossdiff.workers import Models, each


@dataclass(frozen=True)
class Rows:
    """Token ids of all rows, one after the other."""

    ids_N: Tensor
    """int32."""
    roles_N: Tensor
    """uint8."""
    lengths_R: Tensor
    """int64."""
    numbers: Tensor | None = None
    """Number of each row in rows.parquet, int64; 0, 1, … if none are given."""

    @cached_property
    def number_R(self) -> Tensor:
        """Number of each row in rows.parquet, int64."""
        return torch.arange(len(self.lengths_R)) if self.numbers is None else self.numbers

    @cached_property
    def starts_R(self) -> Tensor:
        """Place of each row's first token among all tokens, int64."""
        return torch.cumsum(self.lengths_R, 0) - self.lengths_R

    def ids(self, row: int) -> Tensor:
        """Token ids of one row, int32 [T]."""
        start = int(self.starts_R[row])
        return self.ids_N[start : start + int(self.lengths_R[row])]

    def only(self, chosen_S: Tensor) -> "Rows":
        """The rows ``chosen_S`` (int64, any order), which keep their numbers."""
        lengths_S = self.lengths_R[chosen_S]
        starts_S = torch.cumsum(lengths_S, 0) - lengths_S
        place_N = torch.repeat_interleave(self.starts_R[chosen_S] - starts_S, lengths_S)
        place_N += torch.arange(len(place_N))
        return Rows(self.ids_N[place_N], self.roles_N[place_N], lengths_S, self.number_R[chosen_S])

    def span(self, rows: range) -> slice:
        """Where the tokens of consecutive rows stand among all tokens."""
        last = rows[-1]
        return slice(int(self.starts_R[rows[0]]), int(self.starts_R[last] + self.lengths_R[last]))


def shard_plan(lengths_R: Tensor, shard_tokens: int) -> list[range]:
    """Consecutive rows of each shard; a shard is full once it holds ``shard_tokens`` tokens."""
    shards, first, held = [], 0, 0
    for row, length in enumerate(lengths_R.tolist()):
        held += length
        if held >= shard_tokens:
            shards.append(range(first, row + 1))
            first, held = row + 1, 0
    if held:
        shards.append(range(first, len(lengths_R)))
    return shards


def batch_plan(lengths_R: Tensor, rows: range, batch_tokens: int) -> list[list[int]]:
    """Rows of each batch, longest first; none exceeds ``batch_tokens`` with padding, unless one row alone does."""
    order = sorted(rows, key=lambda row: (-int(lengths_R[row]), row))
    batches: list[list[int]] = []
    for row in order:
        if batches and (len(batches[-1]) + 1) * int(lengths_R[batches[-1][0]]) <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def padded(rows: Rows, chosen: Sequence[int], extra: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids int64 [B, T] of the chosen rows, padded on the right with 0, and mask bool [B, T], true on tokens.

    ``extra`` adds that many padded positions to the longest row.
    """
    longest = max(int(rows.lengths_R[row]) for row in chosen) + extra
    ids_BT = torch.zeros(len(chosen), longest, dtype=torch.int64)
    for number, row in enumerate(chosen):
        ids_BT[number, : rows.lengths_R[row]] = rows.ids(row)
    mask_BT = torch.arange(longest) < rows.lengths_R[list(chosen)][:, None]
    return ids_BT, mask_BT


@torch.inference_mode()
def read_tokens(model: PreTrainedModel, layer: int, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Stream [tokens, D] at the site, in the model's dtype, row after row without the padding."""
    place_n = mask_BT.flatten().nonzero().flatten()  # found on the host, so that no device is waited for
    h_BTD = read_site(model, layer, ids_BT.to(model.device, non_blocking=True))
    if h_BTD.shape[:2] != ids_BT.shape:
        raise RuntimeError(
            f"{type(model).__name__}: stream of shape {tuple(h_BTD.shape)} for ids {tuple(ids_BT.shape)}"
        )
    h_ND = h_BTD.flatten(0, 1)
    if len(place_n) == len(h_ND):
        return h_ND
    return h_ND.index_select(0, place_n.to(model.device, non_blocking=True))


def read_batches(
    models: Models,
    layer: int,
    rows: Rows,
    batches: Sequence[Sequence[int]],
    take: Callable[[Sequence[int], int, Tensor], object],
) -> Iterator[int]:
    """Read batches of rows, several side by side on a CPU; gives the tokens of each batch once it is read.

    ``take`` gets a batch, the place of a model among ``models`` and its stream [tokens, D], on any thread.
    """

    def read(mine: Models, batch: Sequence[int]) -> int:
        ids_BT, mask_BT = padded(rows, batch)
        for number, model in enumerate(mine):
            take(batch, number, read_tokens(model, layer, ids_BT, mask_BT))
        return int(mask_BT.sum())

    return each(read, models, batches)


def extract(
    models: Models,
    layer: int,
    rows: Rows,
    shard: range,
    batch_tokens: int,
    dtype: torch.dtype,
    advance: Callable[[int], object],
    known: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Tensors of one shard, tokens in the order of the rows; ``advance`` is told the tokens of each batch.

    ``known`` are the tensors of the same rows from another pair with the same base: its streams are copied, not read.

    x [n, L, D] in ``dtype``; norm [n, L] float32, of the streams as the models gave them; row, position and token
    int32 [n]; role uint8 [n].
    """
    span = rows.span(shard)
    tokens, width = span.stop - span.start, models[0].config.get_text_config().hidden_size
    landing = Landing(tokens, len(models), width, dtype)
    first = 0 if known is None else 1

    def take(batch: Sequence[int], number: int, h_ND: Tensor) -> None:
        place = torch.cat([torch.arange(int(rows.lengths_R[row])) + rows.starts_R[row] - span.start for row in batch])
        landing.take(place, first + number, h_ND)

    batches = batch_plan(rows.lengths_R, shard, batch_tokens)
    for read in read_batches(models[first:], layer, rows, batches, take):
        advance(read)
    lengths = rows.lengths_R[shard.start : shard.stop]
    x_nLD, norm_nL = landing.finish()
    if known is not None:
        x_nLD[:, 0], norm_nL[:, 0] = known["x"][:, 0], known["norm"][:, 0]
    row_n = torch.repeat_interleave(torch.arange(shard.start, shard.stop), lengths)
    return {
        "x": x_nLD,
        "norm": norm_nL,
        "row": rows.number_R[row_n].int(),
        "position": (torch.arange(span.start, span.stop) - rows.starts_R[row_n]).int(),
        "token": rows.ids_N[span].clone(),
        "role": rows.roles_N[span].clone(),
    }
