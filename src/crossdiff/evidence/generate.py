"""Greedy generation while the stream at the site is edited with what both models' streams say.

At each step the other model's lower blocks read the new tokens beside the running model, each with its own key/value
cache.

Shapes: R rows, T positions, L models, D width.
"""

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import Tensor

from crossdiff.evidence.edits import Edit
from crossdiff.evidence.streams import FORWARD_TOKENS, Site, alike
from crossdiff.pair.blocks import patched, read_site
from crossdiff.pair.decoding import Decoding, decode


class _Batch:
    """Rows that one model continues under an edit."""

    def __init__(
        self,
        site: Site,
        running: Literal["base", "chat"],
        edit: Edit,
        prefixes: Sequence[list[int]],
        answers: Sequence[int],
        more: int,
    ):
        self.site, self.running, self.edit = site, running, edit
        self.other: Literal["base", "chat"] = "base" if running == "chat" else "chat"
        self.rows = Decoding(prefixes, more, [site.model(running), site.model(self.other)])
        longest = self.rows.feed_RT.shape[1]
        first_R = torch.tensor([longest - len(ids) + answer for ids, answer in zip(prefixes, answers, strict=True)])
        self.answering_RT = (torch.arange(longest) >= first_R[:, None] - 1).to(site.device)

    def step(self) -> Tensor:
        """The likeliest next token of each row, [R]."""
        rows, (own_cache, other_cache) = self.rows, self.rows.caches
        # A row's last position predicts the answer, as do all that are fed after it.
        answering_RT = self.answering_RT[rows.row_R, -rows.feed_RT.shape[1] :]
        other_RTD = read_site(self.site.model(self.other), self.site.layer, **rows.inputs, past_key_values=other_cache)

        def replace(own_RTD: Tensor) -> Tensor:
            pair = (other_RTD, own_RTD) if self.running == "chat" else (own_RTD, other_RTD)
            delta_RTD = self.edit(torch.stack(pair, 2), rows.row_R, answering_RT)
            past_RT1 = self.site.past_start(rows.position_RT)[..., None]
            return (own_RTD.float() + delta_RTD * past_RT1).to(own_RTD.dtype)

        with patched(self.site.model(self.running), self.site.layer, replace) as model:
            logits_RTV = model(**rows.inputs, past_key_values=own_cache, logits_to_keep=1).logits
        return logits_RTV[:, -1].argmax(-1)


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
    """Tokens that the ``running`` model adds to each prefix, greedily, with ``edit`` active past the skipped start.

    ``answers`` are the positions where the answers begin in (or right after) the prefixes, ``limits`` the most tokens
    to add to each row (≥ 1). A row ends at its limit or at a stop token, which is not part of the result.
    """
    out: list[list[int]] = [[] for _ in prefixes]
    for chosen in alike([len(prefix) for prefix in prefixes], FORWARD_TOKENS):
        own_limits = [limits[row] for row in chosen]
        batch = _Batch(
            site,
            running,
            _renumbered(edit, torch.tensor(chosen, device=site.device)),
            [prefixes[row] for row in chosen],
            [answers[row] for row in chosen],
            max(own_limits),
        )
        for row, tokens in zip(chosen, decode(batch.rows, batch.step, own_limits, stops), strict=True):
            out[row] = tokens
    return out


def _renumbered(edit: Edit, number_R: Tensor) -> Edit:
    """The edit for a batch whose row r is row ``number_R[r]`` of the whole."""
    return lambda x_RTLD, row_R, answering_RT: edit(x_RTLD, number_R[row_R], answering_RT)
