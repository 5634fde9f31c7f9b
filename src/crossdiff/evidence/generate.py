"""Greedy generation while the stream at the site is edited with what both models' streams say.

At each step the other model's lower blocks read the new tokens beside the running model, each with its own key/value
cache. Rows are padded on the left and leave the batch when they end.

Shapes: R rows, T positions, L models, D width.
"""

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from crossdiff.evidence.edits import Edit
from crossdiff.evidence.streams import FORWARD_TOKENS, Site, alike
from crossdiff.pair.blocks import patched, read_site


class _Batch:
    """The state of generation: what is fed next, masks and caches of the rows still going."""

    def __init__(self, site: Site, prefixes: list[list[int]], answers: list[int], running: Literal["base", "chat"]):
        longest, device = max(map(len, prefixes)), site.device
        self.site, self.running = site, running
        self.feed_RT = torch.zeros(len(prefixes), longest, dtype=torch.int64)
        self.mask_RT = torch.zeros_like(self.feed_RT)
        answering_RT = torch.zeros_like(self.feed_RT, dtype=torch.bool)
        for number, (ids, answer) in enumerate(zip(prefixes, answers, strict=True)):
            start = longest - len(ids)
            self.feed_RT[number, start:] = torch.tensor(ids)
            self.mask_RT[number, start:] = 1
            answering_RT[number, start + answer - 1 :] = True
        self.feed_RT, self.mask_RT = self.feed_RT.to(device), self.mask_RT.to(device)
        self.answering_RT = answering_RT.to(device)
        self.position_RT = (self.mask_RT.cumsum(1) - 1).clamp(min=0)
        self.row_R = torch.arange(len(prefixes), device=device)
        self.caches = {which: DynamicCache(config=site.model(which).config) for which in ("base", "chat")}

    def step(self, edit: Edit) -> Tensor:
        """The likeliest next token of each row, [R]."""
        other = "base" if self.running == "chat" else "chat"
        inputs = {"input_ids": self.feed_RT, "attention_mask": self.mask_RT, "position_ids": self.position_RT}
        other_RTD = read_site(self.site.model(other), self.site.layer, **inputs, past_key_values=self.caches[other])

        def replace(own_RTD: Tensor) -> Tensor:
            pair = (other_RTD, own_RTD) if self.running == "chat" else (own_RTD, other_RTD)
            delta_RTD = edit(torch.stack(pair, 2), self.row_R, self.answering_RT)
            return (own_RTD.float() + delta_RTD).to(own_RTD.dtype)

        with patched(self.site.model(self.running), self.site.layer, replace) as model:
            logits = model(**inputs, past_key_values=self.caches[self.running], logits_to_keep=1).logits
        return logits[:, -1].argmax(-1)

    def advance(self, next_R: Tensor, going_R: Tensor) -> None:
        """Feed each row's new token next; rows that are not ``going`` leave."""
        if not bool(going_R.all()):
            index = going_R.nonzero().flatten()
            for cache in self.caches.values():
                cache.batch_select_indices(index)
            self.mask_RT, self.row_R = self.mask_RT[index], self.row_R[index]
            self.position_RT, next_R = self.position_RT[index], next_R[index]
        self.feed_RT = next_R[:, None]
        self.mask_RT = torch.cat([self.mask_RT, torch.ones_like(self.feed_RT)], 1)
        self.position_RT = self.position_RT[:, -1:] + 1
        self.answering_RT = torch.ones_like(self.feed_RT, dtype=torch.bool)


@torch.no_grad()
def greedy(
    site: Site,
    running: Literal["base", "chat"],
    edit: Edit,
    prefixes: list[list[int]],
    answers: list[int],
    limits: list[int],
    stops: Collection[int],
) -> list[list[int]]:
    """Tokens that the ``running`` model adds to each prefix, greedily, with ``edit`` active at every position.

    ``answers`` are the positions where the answers begin in (or right after) the prefixes, ``limits`` the most tokens
    to add to each row (≥ 1). A row ends at its limit or at a stop token, which is not part of the result.
    """
    out: list[list[int]] = [[] for _ in prefixes]
    for chosen in alike([len(prefix) for prefix in prefixes], FORWARD_TOKENS):
        batch = _Batch(site, [prefixes[row] for row in chosen], [answers[row] for row in chosen], running)
        number_R = torch.tensor(chosen, device=site.device)
        renumbered = _renumbered(edit, number_R)
        while len(batch.row_R):
            next_R = batch.step(renumbered)
            going = []
            for row, token in zip(number_R[batch.row_R].tolist(), next_R.tolist(), strict=True):
                if token not in stops:
                    out[row].append(token)
                going.append(token not in stops and len(out[row]) < limits[row])
            if not any(going):
                break
            batch.advance(next_R, torch.tensor(going, device=site.device))
    return out


def _renumbered(edit: Edit, number_R: Tensor) -> Edit:
    """The edit for a batch whose row r is row ``number_R[r]`` of the whole."""
    return lambda x_RTLD, row_R, answering_RT: edit(x_RTLD, number_R[row_R], answering_RT)
