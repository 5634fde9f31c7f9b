"""The normaliser: subtract each model's mean, multiply by one scale shared by the models.

Shapes: B tokens, L models, D width.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossdiff.errors import UserError


@dataclass(frozen=True)
class Normaliser:
    """x' = (x − mean)·scale, fp32."""

    mean: Tensor
    """[L, D]."""
    scale: Tensor
    """[]."""

    def __call__(self, x_BLD: Tensor) -> Tensor:
        """Normalised activations, [B, L, D] fp32."""
        return (x_BLD.float() - self.mean).mul_(self.scale)

    def to(self, device: str | torch.device) -> "Normaliser":
        """The same on another device."""
        return Normaliser(self.mean.to(device), self.scale.to(device))


def identity(models: int, width: int) -> Normaliser:
    """Leaves activations as they are."""
    return Normaliser(torch.zeros(models, width), torch.ones(()))


def fit(batches: Iterable[Tensor]) -> Normaliser:
    """Mean [L, D] of all tokens, and scale = sqrt(D / mean over tokens and models of ‖x − mean‖²).

    After it, a token's squared norm is D on average. Sums are fp64 about the first batch's mean, so that they
    are good to fp32 whatever the offset of the activations.
    """
    count, origin, total, square = 0, None, None, 0.0
    for x_BLD in batches:
        x_BLD = x_BLD.to(torch.float32)
        if origin is None or total is None:
            origin = x_BLD.mean(0)
            total = torch.zeros_like(origin, dtype=torch.float64)
        shifted_BLD = x_BLD - origin
        count += len(x_BLD)
        total += shifted_BLD.sum(0, dtype=torch.float64)
        square += float(shifted_BLD.square().sum(dtype=torch.float64))
    if origin is None or total is None:
        raise UserError("activations: there is no token to fit the normaliser on")
    drift_LD = total / count
    models, width = drift_LD.shape
    variance = (square / count - float(drift_LD.square().sum())) / models
    if not variance > 0:
        raise UserError(
            "activations: all tokens have the same activation, nothing can be learnt from them;"
            " are the two models the same? (a diff-sae then reads zeros)"
        )
    return Normaliser(
        (origin.double() + drift_LD).float(), torch.tensor((width / variance) ** 0.5, dtype=torch.float32)
    )
