"""How often, how strongly and on which tokens each latent is active (study_spec §3.5, §3.6).

Activity is the scaled code f·w (w the latent's score weight), which does not change when a latent's code is scaled
up and its decoder down. Shapes: B tokens, N active entries, F latents.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

ROLES = ("bos", "template", "user", "assistant", "text")
"""Names of the roles in the order of their numbers."""


class Usage:
    """Counts of active tokens by source and role, sums and maxima of activity."""

    def __init__(self, score_weight_F: Tensor, sources: Sequence[str]):
        self.weight_F, self.sources = score_weight_F, tuple(sources)
        latents, device = len(score_weight_F), score_weight_F.device
        self.source_SF = torch.zeros(len(self.sources), latents, dtype=torch.int64, device=device)
        self.role_RF = torch.zeros(len(ROLES), latents, dtype=torch.int64, device=device)
        self.tokens_S = torch.zeros(len(self.sources), dtype=torch.int64, device=device)
        self.sum_F = torch.zeros(latents, dtype=torch.float64, device=device)
        self.max_F = torch.zeros(latents, device=device)

    def add(self, codes: tuple[Tensor, Tensor, Tensor], source_B: Tensor, role_B: Tensor) -> None:
        """Add a batch: its codes, and the source and role number of each token (int64)."""
        token_N, latent_N, value_N = codes
        active_N = value_N * self.weight_F[latent_N]
        latents = len(self.weight_F)
        self.tokens_S += torch.bincount(source_B, minlength=len(self.sources))
        for table, label_B in ((self.source_SF, source_B), (self.role_RF, role_B)):
            flat_N = label_B[token_N] * latents + latent_N
            table += torch.bincount(flat_N, minlength=table.numel()).view_as(table)
        self.sum_F.index_add_(0, latent_N, active_N.double())
        self.max_F.scatter_reduce_(0, latent_N, active_N, "amax")

    def columns(self) -> dict[str, Tensor]:
        """Columns of the latent table; shares are over a latent's active tokens and add up to 1 (NaN if never active).

        The study's template share, which leaves BOS and plain text out, is template / (template + user + assistant).
        """
        active_F = self.source_SF.sum(0)
        out = {"dead": active_F == 0, "frequency": active_F / self.tokens_S.sum()}
        for number, source in enumerate(self.sources):
            out[f"frequency_{source}"] = self.source_SF[number] / self.tokens_S[number]
        out |= {"max": self.max_F, "mean": self.sum_F / active_F}
        return out | {f"{role}_share": self.role_RF[number] / active_F for number, role in enumerate(ROLES)}
