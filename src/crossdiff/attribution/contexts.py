"""Which tokens stand at a latent's maxima and before them more often than elsewhere, and in which part of the text.

A latent's maximum in each of up to `ROWS` rows is looked at, its most active rows first, so that one row has one vote.
Counts are compared with all tokens of the measured rows by the log-odds ratio with an informative Dirichlet prior
(Monroe, Colaresi and Quinn 2008, Eq. 16, 20 and 22): z = δ / √Var δ, with

    δ   = log (y + α) / (n + α₀ − y − α) − log (b + α) / (B + α₀ − b − α),   Var δ ≈ 1 / (y + α) + 1 / (b + α)

y of the latent's n tokens and b of all B tokens are the token; α = α₀ · b / B, so that a rare token needs more votes.

Shapes: N tokens of all rows, R rows, M maxima, P pairs of a latent and a token, V vocabulary.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from crossdiff.corpus.roles import Role

ROWS = 32
"""Rows of a latent whose maximum is looked at."""
BEFORE = 4
"""Tokens before a maximum that count as its context."""
PRIOR = 32.0
"""α₀: the prior weighs as much as a full sample."""
PLACES = (*(role.name.lower() for role in Role), "before-answer", "answer-start")
"""Parts of a text: the roles; then, inside two of them, the template's last token before an answer, and an answer's
first token."""
BEFORE_ANSWER, ANSWER_START = len(Role), len(Role) + 1
BROADER = {"before-answer": "template", "answer-start": "assistant"}


@dataclass(frozen=True)
class Rows:
    """Tokens of all rows, one row after the other, by row number."""

    ids_N: Tensor
    """int64"""
    roles_N: Tensor
    """int64"""
    lengths_R: Tensor
    """int64"""

    @cached_property
    def starts_R(self) -> Tensor:
        """Place of each row's first token."""
        return torch.cumsum(self.lengths_R, 0) - self.lengths_R

    def counts(self, row_M: Tensor) -> Tensor:
        """How often each token stands in the rows that are named (any number of times), [V] int64."""
        named_R = torch.zeros(len(self.lengths_R), dtype=torch.bool)
        named_R[row_M] = True
        return torch.bincount(self.ids_N[torch.repeat_interleave(named_R, self.lengths_R)])

    def places(self, row_M: Tensor, position_M: Tensor) -> Tensor:
        """Part of the text, as a number into `PLACES`, [M] int64."""
        at_M = self.starts_R[row_M] + position_M
        role_M = self.roles_N[at_M]
        before_M = torch.where(position_M > 0, self.roles_N[(at_M - 1).clamp(min=0)], -1)
        more_M = position_M + 1 < self.lengths_R[row_M]
        after_M = torch.where(more_M, self.roles_N[(at_M + 1).clamp(max=len(self.ids_N) - 1)], -1)
        place_M = role_M.clone()
        place_M[(role_M == Role.TEMPLATE) & (after_M == Role.ASSISTANT)] = BEFORE_ANSWER
        place_M[(role_M == Role.ASSISTANT) & (before_M != Role.ASSISTANT)] = ANSWER_START
        return place_M

    def context(self, row_M: Tensor, position_M: Tensor) -> tuple[Tensor, Tensor]:
        """(maximum, token) of the `BEFORE` tokens before each maximum in its row, each distinct token once; int64."""
        back_K = torch.arange(1, BEFORE + 1)
        inside_MK = position_M[:, None] >= back_K
        at_M = self.starts_R[row_M] + position_M
        maximum_P = inside_MK.nonzero()[:, 0]
        token_P = self.ids_N[(at_M[:, None] - back_K)[inside_MK]]
        vocabulary = int(self.ids_N.max()) + 1
        both_P = torch.unique(maximum_P * vocabulary + token_P)
        return both_P // vocabulary, both_P % vocabulary


@dataclass(frozen=True)
class OverRepresented:
    """Tokens of each latent's sample, by latent, the most over-represented first."""

    latent_P: Tensor
    token_P: Tensor
    count_P: Tensor
    """y, int64"""
    z_P: Tensor
    """float64"""


def over_represented(latent_M: Tensor, token_M: Tensor, background_V: Tensor) -> OverRepresented:
    """How far each token of each latent's sample is over-represented; ``background_V`` counts all tokens (int64)."""
    vocabulary = len(background_V)
    pair_P, count_P = torch.unique(latent_M * vocabulary + token_M, return_counts=True)
    latent_P, token_P = pair_P // vocabulary, pair_P % vocabulary
    b_P, total = background_V[token_P].double(), float(background_V.sum())
    y_P, n_P = count_P.double(), torch.bincount(latent_M)[latent_P].double()
    prior_P = PRIOR * b_P / total
    tiny = torch.finfo(torch.float64).tiny  # a text of one kind of token has no other tokens
    odds_P = (y_P + prior_P) / (n_P + PRIOR - y_P - prior_P).clamp(min=tiny)
    odds_all_P = (b_P + prior_P) / (total + PRIOR - b_P - prior_P).clamp(min=tiny)
    z_P = (odds_P.log() - odds_all_P.log()) / (1 / (y_P + prior_P) + 1 / (b_P + prior_P)).sqrt()
    order_P = torch.argsort(z_P, descending=True, stable=True)
    order_P = order_P[torch.argsort(latent_P[order_P], stable=True)]
    return OverRepresented(latent_P[order_P], token_P[order_P], count_P[order_P], z_P[order_P])
