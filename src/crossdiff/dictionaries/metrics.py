"""What a finished dictionary is worth on held-out tokens, in threshold mode.

Shapes: B tokens, L models, D width, F latents.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary

MODELS = ("base", "chat")


def explained(error_L: Tensor, spread_L: Tensor) -> dict[str, float]:
    """Fraction of variance explained, 1 − Σ‖x − x̂‖² / Σ‖x − x̄‖² (sums over tokens and dimensions).

    ``fve`` pools the models; with two models ``fve_base`` and ``fve_chat`` tell them apart.
    """
    fve = {"fve": float(1 - error_L.sum() / spread_L.sum())}
    if len(error_L) == len(MODELS):
        each = (1 - error_L / spread_L).tolist()
        fve |= {f"fve_{model}": value for model, value in zip(MODELS, each, strict=True)}
    return fve


def validate(dictionary: Dictionary, batches: Iterable[Tensor]) -> dict[str, float]:
    """FVE (see `explained`), L0 and the share of latents that no token activates, over raw batches [B, L, D]."""
    models, _, latents = dictionary.shape
    error_L = torch.zeros(models, dtype=torch.float64)
    square_L = torch.zeros_like(error_L)
    drift_LD = torch.zeros_like(dictionary.mean, dtype=torch.float64)
    fired_F = torch.zeros(latents, dtype=torch.bool, device=dictionary.mean.device)
    tokens, active = 0, 0
    centre_LD = dictionary.mean
    for x_BLD in batches:
        x_BLD = x_BLD.float()
        if tokens == 0 and not bool(centre_LD.any()):
            centre_LD = x_BLD.mean(0)
        codes = dictionary.codes(x_BLD)
        miss_BLD = x_BLD - dictionary.decode_codes(codes, len(x_BLD))
        shifted_BLD = x_BLD - centre_LD
        error_L += miss_BLD.square().sum((0, 2), dtype=torch.float64).cpu()
        square_L += shifted_BLD.square().sum((0, 2), dtype=torch.float64).cpu()
        drift_LD += shifted_BLD.sum(0, dtype=torch.float64)
        fired_F[codes.latent_N] = True
        tokens += len(x_BLD)
        active += len(codes.value_N)
    spread_L = square_L - (drift_LD.square().sum(1) / max(1, tokens)).cpu()
    return explained(error_L, spread_L) | {
        "l0": active / max(1, tokens),
        "dead": float((~fired_F).float().mean()),
    }
