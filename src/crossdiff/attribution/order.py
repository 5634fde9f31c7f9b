"""The order of latents from the most chat-specific on, as far as ν says so, and from the nearest to a call on.

Numerics only.

Shapes: F latents, N some of them.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def rank(values_N: Tensor) -> Tensor:
    """Rank [N], float64, of each value, 0 for the lowest; equal values keep their order, NaN come last."""
    out_N = torch.empty(values_N.shape, dtype=torch.float64)
    out_N[torch.argsort(values_N, stable=True)] = torch.arange(len(values_N), dtype=torch.float64)
    return out_N


def chat_order(columns: Mapping[str, Tensor], crosscoder: bool) -> Tensor:
    """Place [F], float64, lowest first: rank(|ν_r|) + rank(|ν_ε|) of a crosscoder, a well-posed |ν| of an SAE.

    Far below 0 the base model follows the direction with the opposite sign, which is not the chat model's alone, hence
    the bars (`specific`). NaN for latents that have no place in the order. ``columns`` are the latent table's.
    """
    if not crosscoder:
        return torch.where(columns["nu_valid"], columns["nu_activation"].double().abs(), torch.nan)
    parts = [columns[name].abs() for name in ("nu_reconstruction", "nu_error")]
    known_F = ~(parts[0].isnan() | parts[1].isnan())
    return torch.where(known_F, rank(parts[0]) + rank(parts[1]), torch.nan)


def call_order(columns: Mapping[str, Tensor], kind: str) -> Tensor:
    """Place [F], float64, lowest first: how near a latent's own numbers are to a chat- or base-specific call.

    A diff-SAE's by the larger margin of its separation, others' by the smaller size of a centred ν that is well posed.
    NaN for latents without one.
    """
    if kind == "diff-sae":
        margins = [columns[f"separation_{model}_margin"].double() for model in ("chat", "base")]
        return -torch.maximum(*margins)
    sides = [side for side in ("", "_base") if f"nu_centred{side}" in columns]
    sizes = [
        torch.where(columns[f"nu_centred_valid{side}"], columns[f"nu_centred{side}"].double().abs(), torch.nan)
        for side in sides
    ]
    nearest_F = torch.stack(sizes).nan_to_num(nan=torch.inf).amin(0)
    return torch.where(nearest_F.isinf(), torch.nan, nearest_F)
