"""When each latent fires, on a sample of the tokens: what tells whether latents of two dictionaries are the same one.

Every stride-th token of the split is looked at, by its number there, so that all dictionaries that are measured on one
split see the same tokens. Shapes: N active entries, F latents.
"""

import math

import torch
from torch import Tensor

LEVELS = 255
"""Activity is kept in steps of this part of the latent's maximum: one byte, and cosines are right to about 0.005."""


class Firing:
    """Gathers the active entries of the sampled tokens."""

    def __init__(self, tokens: int, sample: int):
        """``tokens`` in the split, of which about ``sample`` are looked at, and never more."""
        self.stride = max(1, math.ceil(tokens / sample))
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, token_N: Tensor, latent_N: Tensor, active_N: Tensor) -> None:
        """Add entries: number of the token in the split and latent (int64), and activity (float32, above 0)."""
        here_N = token_N % self.stride == 0
        self.parts.append((token_N[here_N].cpu(), latent_N[here_N].cpu(), active_N[here_N].cpu()))

    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """What was gathered, in the order of the tokens: token (number in the split), latent (int64) and level (uint8,
        1 to 255) of each entry."""
        token_N, latent_N, active_N = (torch.cat(part) for part in zip(*self.parts, strict=True))
        most_F = torch.zeros(int(latent_N.max()) + 1 if len(latent_N) else 0)
        most_F.scatter_reduce_(0, latent_N, active_N, "amax")
        level_N = (LEVELS * active_N / most_F[latent_N]).ceil().clamp(1, LEVELS)
        return token_N, latent_N, level_N.to(torch.uint8)
