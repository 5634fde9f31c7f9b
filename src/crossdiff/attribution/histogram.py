"""How strongly each latent is active: a histogram of its activity on a logarithmic axis, in the one pass.

Shapes: N active entries, F latents, K bins.
"""

import torch
from torch import Tensor

BINS = 16
LOWEST = -7
"""Bin k > 0 holds activities in [2^(k + LOWEST), 2^(k + LOWEST + 1)): from 1/64 to 512; both end bins are open."""


class Histogram:
    """Running counts of active tokens by activity."""

    def __init__(self, latents: int, device: torch.device | str = "cpu"):
        self.counts_FK = torch.zeros(latents, BINS, dtype=torch.int64, device=device)

    def add(self, latent_N: Tensor, active_N: Tensor) -> None:
        """Add active entries: latent (int64) and activity (float32, > 0)."""
        bin_N = (torch.frexp(active_N).exponent.long() - 1 - LOWEST).clamp(0, BINS - 1)
        self.counts_FK += torch.bincount(latent_N * BINS + bin_N, minlength=self.counts_FK.numel()).view_as(
            self.counts_FK
        )
