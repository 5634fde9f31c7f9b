"""Which of the template's tokens a latent is active on (study_spec §3.5).

A template token's slot is its place in the run of template tokens that it stands in, and the roles on either side of
the run: `user, assistant, 2` is the third token between a user's message and the answer. No template is known by name.

Shapes: N tokens of all rows, G runs, P slots, F latents.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from crossdiff.corpus.roles import Role

LONGEST = 63
"""Last place in a run that has a slot of its own; later tokens share it."""
END = len(Role)
"""What follows the last run of a row."""


@dataclass(frozen=True)
class Slots:
    """The slots of some rows."""

    slot_N: Tensor
    """Slot of every token, int64; −1 if it is no template token."""
    before_P: list[str]
    """Role before the run: start, user, assistant."""
    after_P: list[str]
    """Role after it: user, assistant, end."""
    place_P: list[int]
    """Place in the run, from 0."""
    token_P: list[int]
    """The commonest token there."""
    starts_R: Tensor
    """Place of each row's first token, int64."""

    @cached_property
    def count(self) -> int:
        """P."""
        return len(self.place_P)

    def of(self, row_B: Tensor, position_B: Tensor) -> Tensor:
        """Slots [B] of tokens named by row and position (int64)."""
        return self.slot_N[self.starts_R[row_B] + position_B]


def name(role: int) -> str:
    """A role in words; BOS starts a row."""
    return {END: "end", int(Role.BOS): "start"}.get(role) or Role(role).name.lower()


def slots(ids_N: Tensor, roles_N: Tensor, lengths_R: Tensor) -> Slots:
    """Slots of all template tokens; rows one after the other, ``roles_N`` of any integer type."""
    roles_N = roles_N.long()
    tokens = len(roles_N)
    row_N = torch.repeat_interleave(torch.arange(len(lengths_R)), lengths_R)
    starts_N = torch.ones(tokens, dtype=torch.bool)
    starts_N[1:] = (roles_N[1:] != roles_N[:-1]) | (row_N[1:] != row_N[:-1])
    first_G = starts_N.nonzero().flatten()
    role_G, row_G = roles_N[first_G], row_N[first_G]
    before_G, after_G = torch.full_like(role_G, int(Role.BOS)), torch.full_like(role_G, END)
    joined_G = row_G[1:] == row_G[:-1]
    before_G[1:][joined_G] = role_G[:-1][joined_G]
    after_G[:-1][joined_G] = role_G[1:][joined_G]
    run_N = torch.cumsum(starts_N, 0) - 1
    place_N = (torch.arange(tokens) - first_G[run_N]).clamp(max=LONGEST)
    key_N = (before_G[run_N] * (END + 1) + after_G[run_N]) * (LONGEST + 1) + place_N
    template_N = roles_N == Role.TEMPLATE
    key_P, slot_n = torch.unique(key_N[template_N], return_inverse=True)
    slot_N = torch.full((tokens,), -1, dtype=torch.int64)
    slot_N[template_N] = slot_n
    around_P = key_P // (LONGEST + 1)
    return Slots(
        slot_N=slot_N,
        before_P=[name(role) for role in (around_P // (END + 1)).tolist()],
        after_P=[name(role) for role in (around_P % (END + 1)).tolist()],
        place_P=(key_P % (LONGEST + 1)).tolist(),
        token_P=_commonest(slot_n, ids_N[template_N].long(), len(key_P)),
        starts_R=torch.cumsum(lengths_R, 0) - lengths_R,
    )


def _commonest(slot_n: Tensor, token_n: Tensor, count: int) -> list[int]:
    """Commonest token of each slot; of equally common ones the lowest."""
    if not count:
        return []
    vocabulary = int(token_n.max()) + 1
    pair_M, times_M = torch.unique(slot_n * vocabulary + token_n, return_counts=True)
    out = [0] * count
    backwards_M = torch.arange(len(pair_M)).flip(0)
    # The last one written of a slot is the commonest, and of equally common ones the lowest.
    for place in backwards_M[torch.argsort(times_M[backwards_M], stable=True)].tolist():
        out[int(pair_M[place]) // vocabulary] = int(pair_M[place]) % vocabulary
    return out


class SlotUse:
    """Active tokens of each latent in each slot."""

    def __init__(self, slots: int, latents: int, device: torch.device | str = "cpu"):
        self.active_PF = torch.zeros(slots, latents, dtype=torch.int64, device=device)
        self.tokens_P = torch.zeros(slots, dtype=torch.int64, device=device)

    def add(self, token_N: Tensor, latent_N: Tensor, slot_B: Tensor) -> None:
        """Add a batch: its active entries (token of the batch, latent), and the slot of each token."""
        slot_N = slot_B[token_N]
        there_N = slot_N >= 0
        flat_M = slot_N[there_N] * self.active_PF.shape[1] + latent_N[there_N]
        self.active_PF.view(-1).index_add_(0, flat_M, torch.ones_like(flat_M))
        self.tokens_P += torch.bincount(slot_B[slot_B >= 0], minlength=len(self.tokens_P))
