"""Decoder norms and cosines: which model a latent's directions say it belongs to (study_spec §1.6).

Shapes: F latents, D width.
"""

import torch
from torch import Tensor

CLASSES = ("chat-only", "base-only", "shared", "other")
BASE_ONLY, CHAT_ONLY, SHARED = 0.1, 0.9, 0.1


def delta_norm(base_F: Tensor, chat_F: Tensor) -> Tensor:
    """Δ_norm = ½·(1 + (‖d^c‖ − ‖d^b‖) / max(‖d^c‖, ‖d^b‖)) in [0, 1]: 0 base only, 1 chat only; NaN if both are 0."""
    return 0.5 * (1 + (chat_F - base_F) / torch.maximum(base_F, chat_F))


def classes(delta_F: Tensor) -> list[str]:
    """Class of each latent by Δ_norm; all comparisons are strict, and NaN is "other"."""
    names = ["other"] * len(delta_F)
    for name, member_F in (
        ("base-only", delta_F < BASE_ONLY),
        ("chat-only", delta_F > CHAT_ONLY),
        ("shared", (delta_F - 0.5).abs() < SHARED),
    ):
        for latent in member_F.nonzero().flatten().tolist():
            names[latent] = name
    return names


def cosine(a_FD: Tensor, b_FD: Tensor) -> Tensor:
    """Cosine of each pair of rows [F]; NaN where one of them is 0."""
    return (a_FD * b_FD).sum(-1) / (a_FD.norm(dim=-1) * b_FD.norm(dim=-1))
