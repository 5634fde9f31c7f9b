"""Statistics of activations: which tokens are masked, mean and scale, and how much the difference carries.

Sums are taken block by block about each block's own mean in float64 and merged (Chan et al. 1979), so nothing
accumulates in the storage precision: a running bfloat16 mean is off by tenths after some million tokens.

B tokens of a block, N tokens, L models (0 base, 1 chat), S streams (0 base, 1 chat, 2 chat − base), D width.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor


def norm_thresholds(norm_NL: Tensor, factor: float | None) -> list[float] | None:
    """Largest norm that is kept, for each model: ``factor`` × the median over the tokens; None keeps all."""
    return None if factor is None else [factor * float(np.median(norm_N)) for norm_N in norm_NL.T.numpy()]


@dataclass(frozen=True)
class Moments:
    """Count, mean [S, D] float64 and Σ‖x − mean‖² [S] float64 of some tokens."""

    count: int
    mean_SD: Tensor
    square_S: Tensor

    @staticmethod
    def of(x_BLD: Tensor) -> "Moments":
        """Moments of a block of base/chat activations and their difference."""
        x_BLD = x_BLD.float()
        x_BSD = torch.cat([x_BLD, x_BLD[:, 1:] - x_BLD[:, :1]], 1)
        mean_SD = x_BSD.mean(0, dtype=torch.float64)
        square_S = (x_BSD - mean_SD.float()).square_().sum(-1).sum(0, dtype=torch.float64)
        return Moments(len(x_BLD), mean_SD, square_S)

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of tokens."""
        count = self.count + other.count
        shift_SD = other.mean_SD - self.mean_SD
        between_S = shift_SD.square().sum(-1) * (self.count * other.count / count)
        mean_SD = self.mean_SD + shift_SD * (other.count / count)
        return Moments(count, mean_SD, self.square_S + other.square_S + between_S)

    def about(self, mean_SD: Tensor) -> Tensor:
        """Σ‖x − ``mean``‖² [S] about another mean."""
        return self.square_S + self.count * (self.mean_SD - mean_SD).square().sum(-1)


def summary(by_source: Mapping[str, Moments]) -> dict[str, Any]:
    """Mean [L, D], scale, the same of the difference, and the difference's share, over the tokens of all sources.

    scale = sqrt(D / mean over tokens and models of ‖x − mean‖²): shared by both models, so that Δ_norm and ν are the
    same in raw and in normalised space. Share of the difference (feasibility.md): Σ‖(x_chat − x_base) − its mean‖² /
    Σ‖x_chat − its mean‖², with the means over all sources, overall and for the tokens of each source.
    """
    whole = reduce(Moments.__add__, by_source.values())
    width = whole.mean_SD.shape[1]
    base, chat, difference = (whole.square_S / whole.count).tolist()
    shares = {name: moments.about(whole.mean_SD) for name, moments in by_source.items()}
    return {
        "mean": whole.mean_SD[:2].tolist(),
        "scale": _scale(width, (base + chat) / 2),
        "difference": {"mean": whole.mean_SD[2].tolist(), "scale": _scale(width, difference)},
        "difference_share": {
            "overall": _ratio(difference, chat),
            "sources": {name: _ratio(float(square_S[2]), float(square_S[1])) for name, square_S in shares.items()},
        },
    }


def _scale(width: int, square: float) -> float | None:
    """sqrt(D / mean squared norm); None where nothing varies."""
    return (width / square) ** 0.5 if square > 0 else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def commonest(token_N: Tensor, role_N: Tensor, most: int = 10) -> list[tuple[int, int, int]]:
    """(token, role, count) of the commonest tokens, most frequent first."""
    counts = Counter(zip(token_N.tolist(), role_N.tolist(), strict=True))
    return [
        (token, role, count) for (token, role), count in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))[:most]
    ]
