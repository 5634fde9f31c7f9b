"""The normaliser of science-of-finetuning files: one scale for each model that gives its tokens a target norm.

x' = (x − mean)·s with s = target_rms / ‖std‖; in spite of its name target_rms is the L2 norm of a token.
(`NormalizableMixin` of the fork `crosscoder_learning`)

Shapes: L models, D width.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from crossdiff.errors import UserError

NORMALISER = ("activation_mean", "activation_std", "activation_global_scale", "target_rms")


def normaliser_shapes(tensors: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of the normaliser's buffers; none if the file has none of them, as old uploads."""
    if not set(NORMALISER) & set(tensors):
        return {}
    return {"activation_mean": shape, "activation_std": shape, "activation_global_scale": shape[:-1], "target_rms": ()}


def normaliser(found: dict[str, Tensor], file: Path) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """(mean [L, D], s [L]) or (mean [D], s []) of a file; None for both where activations are not normalised."""
    if "activation_mean" not in found or bool((found["activation_mean"] + found["activation_std"]).isnan().any()):
        return None, None
    for name in NORMALISER:
        if not bool(torch.isfinite(found[name]).all()):
            raise UserError(f"{file}: {name} holds values that are not finite: fetch the file again")
    scale = found["activation_global_scale"]
    by_std = found["target_rms"] / (found["activation_std"].square().sum(-1) + 1e-8).sqrt()
    if not bool(torch.isclose(scale, by_std, rtol=1e-2, atol=0).all()):
        raise UserError(
            f"{file}: activation_global_scale is {scale.tolist()}, but target_rms / ‖activation_std‖ {by_std.tolist()};"
            " a normaliser with a scale for each dimension is not supported"
        )
    return found["activation_mean"], scale


def target(found: dict[str, Tensor]) -> dict[str, float]:
    """What `normaliser_of` takes of a file to give the same target_rms again; nothing if it has none."""
    rms = float(found.get("target_rms", torch.nan))
    return {"target_rms": rms} if math.isfinite(rms) else {}


def normaliser_of(mean: Tensor, scale: Tensor, target_rms: float | None = None) -> dict[str, Tensor]:
    """The four buffers for a mean [L, D] and scale [L], or [D] and []: NaN where they do nothing.

    The std is alike in all dimensions, so that it gives the scale; the target is √D, as of our normaliser, by default.
    """
    if not bool(mean.any()) and bool((scale == 1).all()):
        nothing, rms = torch.full_like(mean, torch.nan), torch.tensor(1.0 if target_rms is None else target_rms)
        return dict(zip(NORMALISER, (nothing, nothing.clone(), torch.ones_like(scale), rms), strict=True))
    root = mean.shape[-1] ** 0.5
    rms = torch.tensor(root if target_rms is None else target_rms)
    std = (rms / root / scale)[..., None].expand(mean.shape)
    return dict(zip(NORMALISER, (mean, std, scale.clone(), rms), strict=True))
