"""How often, how strongly and on which tokens each latent is active (study_spec §3.5, §3.6).

Activity is the scaled code f·w (w the latent's score weight), which does not change when a latent's code is scaled
up and its decoder down. Shapes: B tokens, N active entries, F latents, K blocks of rows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from crossdiff.attribution.jackknife import jackknife, ratio

ROLES = ("bos", "template", "user", "assistant", "text")
"""Names of the roles in the order of their numbers."""


class Usage:
    """Counts of active tokens by source, and by role and block; sums and maxima of activity."""

    def __init__(self, score_weight_F: Tensor, sources: Sequence[str], blocks: int):
        self.weight_F, self.sources = score_weight_F, tuple(sources)
        latents, device = len(score_weight_F), score_weight_F.device
        self.source_SF = torch.zeros(len(self.sources), latents, dtype=torch.int64, device=device)
        self.role_KRF = torch.zeros(blocks, len(ROLES), latents, dtype=torch.int64, device=device)
        self.tokens_S = torch.zeros(len(self.sources), dtype=torch.int64, device=device)
        self.sum_F = torch.zeros(latents, dtype=torch.float64, device=device)
        self.max_F = torch.zeros(latents, device=device)

    def add(self, codes: tuple[Tensor, Tensor, Tensor], source_B: Tensor, role_B: Tensor, block_B: Tensor) -> None:
        """Add a batch: its codes, and the source, role and block number of each token (int64)."""
        token_N, latent_N, value_N = codes
        active_N = value_N * self.weight_F[latent_N]
        self.tokens_S += torch.bincount(source_B, minlength=len(self.sources))
        self.source_SF += counted(source_B[token_N], latent_N, self.source_SF)
        for block in torch.unique(block_B).tolist():
            here_N = (block_B == block)[token_N]
            self.role_KRF[block] += counted(role_B[token_N[here_N]], latent_N[here_N], self.role_KRF[block])
        self.sum_F.index_add_(0, latent_N, active_N.double())
        self.max_F.scatter_reduce_(0, latent_N, active_N, "amax")

    def columns(self) -> dict[str, Tensor]:
        """Columns of the latent table; shares are over a latent's active tokens and add up to 1 (NaN if never active).

        The study's template share, which leaves BOS and plain text out, is template / (template + user + assistant).
        ``active_blocks`` says on how many blocks of rows a latent was active: on few, no interval of it says much.
        """
        active_F = self.source_SF.sum(0)
        out = {"dead": active_F == 0, "frequency": active_F / self.tokens_S.sum()}
        for number, source in enumerate(self.sources):
            out[f"frequency_{source}"] = self.source_SF[number] / self.tokens_S[number]
        out |= {"max": self.max_F, "mean": self.sum_F / active_F}
        role_KRF = self.role_KRF.double()
        active_KF = role_KRF.sum(1)
        out |= {f"{role}_share": (role_KRF[:, number].sum(0) / active_F).float() for number, role in enumerate(ROLES)}
        template_KF = role_KRF[:, ROLES.index("template")]
        return out | {
            "template_share_se": jackknife(ratio, template_KF, active_KF),
            "active_blocks": (active_KF > 0).sum(0),
        }


def counted(label_N: Tensor, latent_N: Tensor, like_GF: Tensor) -> Tensor:
    """How often each pair of label and latent occurs, [G, F] int64."""
    flat_N = label_N * like_GF.shape[1] + latent_N
    return torch.bincount(flat_N, minlength=like_GF.numel()).view_as(like_GF)
