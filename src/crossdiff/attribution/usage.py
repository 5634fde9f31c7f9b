"""How often, how strongly and on which tokens each latent is active (study_spec §3.5, §3.6).

Activity is the scaled code f·w (w the latent's score weight), which does not change when a latent's code is scaled
up and its decoder down. Shapes: B tokens, N active entries, F latents, K blocks of rows, R roles.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from crossdiff.attribution.jackknife import jackknife, ratio
from crossdiff.attribution.sums import summed

ROLES = ("bos", "template", "user", "assistant", "text")
"""Names of the roles in the order of their numbers."""


class Usage:
    """Counts of active tokens by source, and by role and block; sums and maxima of activity by role."""

    def __init__(self, score_weight_F: Tensor, sources: Sequence[str], blocks: int):
        self.weight_F, self.sources = score_weight_F, tuple(sources)
        latents, device = len(score_weight_F), score_weight_F.device
        self.source_SF = torch.zeros(len(self.sources), latents, dtype=torch.int64, device=device)
        self.role_KRF = torch.zeros(blocks, len(ROLES), latents, dtype=torch.int64, device=device)
        self.tokens_S = torch.zeros(len(self.sources), dtype=torch.int64, device=device)
        self.sum_RF = torch.zeros(len(ROLES), latents, dtype=torch.float64, device=device)
        self.max_RF = torch.zeros(len(ROLES), latents, device=device)

    def add(self, codes: tuple[Tensor, Tensor, Tensor], source_B: Tensor, role_B: Tensor, block_B: Tensor) -> None:
        """Add a batch: its codes, and the source, role and block number of each token (int64)."""
        token_N, latent_N, value_N = codes
        active_N = value_N * self.weight_F[latent_N]
        self.tokens_S += torch.bincount(source_B, minlength=len(self.sources))
        self.source_SF += counted(source_B[token_N], latent_N, self.source_SF)
        for block in torch.unique(block_B).tolist():
            here_N = (block_B == block)[token_N]
            self.role_KRF[block] += counted(role_B[token_N[here_N]], latent_N[here_N], self.role_KRF[block])
        place_N = paired(role_B[token_N], latent_N, self.sum_RF)
        self.sum_RF += summed(active_N.double(), place_N, self.sum_RF)
        self.max_RF.view(-1).scatter_reduce_(0, place_N, active_N, "amax")

    def columns(self) -> dict[str, Tensor]:
        """Columns of the latent table; shares are over a latent's active tokens and add up to 1 (NaN if never active).

        The study's template share, which leaves BOS and plain text out, is template / (template + user + assistant).
        Mean and maximum of a role are over the latent's active tokens there, NaN without any; the study's ``ctrl`` is
        the template, its ``non_ctrl`` user and assistant together. ``active_blocks`` says on how many blocks of rows a
        latent was active: on few, no interval of it says much.
        """
        active_F = self.source_SF.sum(0)
        out = {"dead": active_F == 0, "frequency": active_F / self.tokens_S.sum()}
        for number, source in enumerate(self.sources):
            out[f"frequency_{source}"] = self.source_SF[number] / self.tokens_S[number]
        out |= {"max": self.max_RF.amax(0), "mean": self.sum_RF.sum(0) / active_F}
        role_KRF = self.role_KRF.double()
        active_KF, active_RF = role_KRF.sum(1), role_KRF.sum(0)
        by_role = {
            "share": active_RF / active_F,
            "mean": self.sum_RF / active_RF,
            "max": self.max_RF.where(active_RF > 0, torch.nan),
        }
        for name, value_RF in by_role.items():
            out |= {f"{role}_{name}": value_F.float() for role, value_F in zip(ROLES, value_RF, strict=True)}
        template_KF = role_KRF[:, ROLES.index("template")]
        return out | {
            "template_share_se": jackknife(ratio, template_KF, active_KF),
            "active_blocks": (active_KF > 0).sum(0),
        }


def paired(label_N: Tensor, latent_N: Tensor, like_GF: Tensor) -> Tensor:
    """Place of each pair of label and latent in a flat [G, F]."""
    return label_N * like_GF.shape[1] + latent_N


def counted(label_N: Tensor, latent_N: Tensor, like_GF: Tensor) -> Tensor:
    """How often each pair of label and latent occurs, [G, F] int64."""
    return torch.bincount(paired(label_N, latent_N, like_GF), minlength=like_GF.numel()).view_as(like_GF)
