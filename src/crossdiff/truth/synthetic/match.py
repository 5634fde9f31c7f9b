"""Which factor a latent stands for, and how well a dictionary's directions match the true ones. Pure.

L models, F latents, N factors, D width, I = what is compared: D, or L·D.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from crossdiff.truth.synthetic.factors import CLASSES
from crossdiff.truth.synthetic.world import World

LEAST = 0.5
"""Smallest |cosine| at which a latent is taken for a factor."""


def targets(world: World, kind: str) -> Tensor:
    """What a perfect latent of each factor would write, [N, I]; 0 for a factor that this kind cannot see.

    Crosscoder: both models' directions, one after the other; SAE: its model's. Diff-SAE: chat − base, without the
    drift (which lends every shared factor a small difference in the same few dimensions); a re-gated factor, whose
    directions cancel, keeps its own.
    """
    base_ND, chat_ND = world.effective()
    if kind == "crosscoder":
        return torch.cat([base_ND, chat_ND], 1)
    if kind != "diff-sae":
        return chat_ND if kind == "chat-sae" else base_ND
    base_ND, chat_ND = world.factors.direction_LND
    regated_N = world.factors.class_N == CLASSES.index("regated")
    return torch.where(regated_N[:, None], chat_ND, chat_ND - base_ND)


def cosines(rows_FI: Tensor, target_NI: Tensor) -> Tensor:
    """Cosine of each row with each target, [F, N]; 0 where one of them is 0."""
    unit = [x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (rows_FI, target_NI)]
    return unit[0] @ unit[1].T


def similarity(cosine_FN: Tensor, kind: str) -> Tensor:
    """What is matched on: the cosine, or its size for a diff-SAE, which writes a loss in base as the negative."""
    return cosine_FN.abs() if kind == "diff-sae" else cosine_FN


def nearest(similarity_FN: Tensor, least: float = LEAST) -> tuple[Tensor, Tensor]:
    """The factor each latent is nearest to [F] int64, −1 if none is near enough, and the similarity [F]."""
    if not similarity_FN.shape[1]:
        return similarity_FN.new_full((len(similarity_FN),), -1).long(), similarity_FN.new_zeros(len(similarity_FN))
    best_F, factor_F = similarity_FN.max(1)
    return torch.where(best_F >= least, factor_F, -1), best_F


def assignment(similarity_FN: Tensor) -> tuple[Tensor, Tensor]:
    """Hungarian matching: latents and their factors, one to one, of largest total similarity."""
    latent, factor = linear_sum_assignment(similarity_FN.cpu().numpy(), maximize=True)
    return torch.as_tensor(latent), torch.as_tensor(factor)


def mcc(similarity_FN: Tensor) -> float:
    """Mean similarity of the Hungarian pairs (mean correlation coefficient; SynthSAEBench, arXiv 2602.14687).

    Over min(F, N) pairs; NaN if there is none.
    """
    latent, factor = assignment(similarity_FN)
    return float(similarity_FN.cpu()[latent, factor].mean()) if len(latent) else float("nan")


def uniqueness(similarity_FN: Tensor) -> float:
    """Distinct nearest factors over latents: 1 where no two latents share one (same source); NaN without latents."""
    if not similarity_FN.numel():
        return float("nan")
    return len(torch.unique(similarity_FN.argmax(1))) / len(similarity_FN)
