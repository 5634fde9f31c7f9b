"""Greedy decoding of rows that are padded on the left and leave the batch when they end.

R rows, T positions.
"""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from crossdiff.pair.cache import roomy_cache


class Decoding:
    """What is fed next to rows that are continued, with a key/value cache for each model that reads them."""

    def __init__(self, prefixes: Sequence[Sequence[int]], more: int, models: Sequence[PreTrainedModel]):
        """``more``: tokens that any row may be continued by, at most."""
        longest, device = max(map(len, prefixes)), models[0].device
        feed_RT = torch.zeros(len(prefixes), longest, dtype=torch.int64)
        mask_RT = torch.zeros_like(feed_RT)
        for number, ids in enumerate(prefixes):
            feed_RT[number, longest - len(ids) :] = torch.tensor(ids)
            mask_RT[number, longest - len(ids) :] = 1
        self.feed_RT, self.mask_RT = feed_RT.to(device), mask_RT.to(device)
        self.position_RT = (self.mask_RT.cumsum(1) - 1).clamp(min=0)
        self.row_R = torch.arange(len(prefixes), device=device)
        """Which of the first rows the present ones are."""
        self.caches: list[DynamicCache] = [roomy_cache(model.config, longest + more) for model in models]

    @property
    def inputs(self) -> dict[str, Tensor]:
        """Keywords of a model's forward; its cache comes beside them."""
        return {"input_ids": self.feed_RT, "attention_mask": self.mask_RT, "position_ids": self.position_RT}

    def advance(self, next_R: Tensor, going_R: Tensor) -> None:
        """Feed each row's new token next; rows that are not ``going`` leave."""
        if not bool(going_R.all()):
            index = going_R.nonzero().flatten()
            for cache in self.caches:
                cache.batch_select_indices(index)
            self.mask_RT, self.row_R = self.mask_RT[index], self.row_R[index]
            self.position_RT, next_R = self.position_RT[index], next_R[index]
        self.feed_RT = next_R[:, None]
        self.mask_RT = torch.cat([self.mask_RT, torch.ones_like(self.feed_RT)], 1)
        self.position_RT = self.position_RT[:, -1:] + 1


def decode(
    rows: Decoding, step: Callable[[], Tensor], limits: Sequence[int], stops: Collection[int]
) -> list[list[int]]:
    """Tokens that ``step`` adds to each row; it gives the next token [R] of the rows that are left.

    A row ends at its limit (≥ 1) or at a stop token, which is not part of the result.
    """
    out: list[list[int]] = [[] for _ in limits]
    while True:
        next_R = step()
        going = []
        for row, token in zip(rows.row_R.tolist(), next_R.tolist(), strict=True):
            if token not in stops:
                out[row].append(token)
            going.append(token not in stops and len(out[row]) < limits[row])
        if not any(going):
            return out
        rows.advance(next_R, torch.tensor(going, device=next_R.device))


@torch.inference_mode()
def greedy(
    model: PreTrainedModel, prefixes: Sequence[Sequence[int]], limit: int, stops: Collection[int]
) -> list[list[int]]:
    """The likeliest continuation of each prefix, of at most ``limit`` tokens, without the stop token that ends it."""
    rows = Decoding(prefixes, limit, [model])

    def step() -> Tensor:
        logits_RTV = model(**rows.inputs, past_key_values=rows.caches[0], logits_to_keep=1).logits
        return logits_RTV[:, -1].argmax(-1)

    return decode(rows, step, [limit] * len(prefixes), stops)
