"""Batches with known structure: what a dictionary in training reads, without a model.

Shapes: B tokens, L models, D width, G planted directions.
"""

import torch
from torch import Tensor

ACTIVE = 16
"""Planted directions that a token uses on average."""


def batches(count: int, tokens: int, models: int, width: int, seed: int = 0, device: str = "cpu") -> list[Tensor]:
    """``count`` batches [B, L, D] fp32 of mean squared norm D a model: sums of a few of 2·D directions, and noise.

    With two models the second has the first's directions turned a little, and an eighth of its own.
    """
    generator = torch.Generator().manual_seed(seed)
    directions_LGD = torch.randn(1, 2 * width, width, generator=generator).repeat(models, 1, 1)
    if models == 2:
        directions_LGD[1] += 0.3 * torch.randn(2 * width, width, generator=generator)
        directions_LGD[0, : width // 4] = 0
    directions_LGD = directions_LGD.to(device)
    made = []
    for _ in range(count):
        on_BG = torch.rand(tokens, 2 * width, generator=generator) < ACTIVE / (2 * width)
        code_BG = (on_BG * (1 + torch.rand(tokens, 2 * width, generator=generator))).to(device)
        noise_BLD = torch.randn(tokens, models, width, generator=generator).to(device)
        x_BLD = torch.einsum("bg,lgd->bld", code_BG, directions_LGD) + noise_BLD
        made.append(x_BLD * (width / x_BLD.square().sum(2).mean()).sqrt())
    return made
