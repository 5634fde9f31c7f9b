"""Score weights of `MIXED` files whose shares are not ours: w = α_sae·‖[d^b; d^c]‖ + α_cc·(‖d^b‖ + ‖d^c‖).

A canonical `mixed` w has the shares of `architecture.MIXED` and no other. f·w > θ is therefore kept as f > θ/w, one
level a latent, and its activity is the bare f; shares and θ stay beside it, for an export.

Shapes: L models, D width, F latents.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import MIXED, Dictionary, score_weight
from crossdiff.dictionaries.published.files import one_if_equal

ALPHAS = {"concat": "code_normalization_alpha_sae", "sum": "code_normalization_alpha_cc"}
"""The shares in a file's settings; those that it does not name are of `MIXED`."""


def shares_of(settings: dict[str, Any]) -> dict[str, float]:
    """What a file's w is made of."""
    told = {form: settings[key] for form, key in ALPHAS.items() if settings.get(key) is not None}
    return MIXED | told


def of_codes(threshold: Tensor, decoder: Tensor, shares: dict[str, float]) -> Tensor:
    """θ [F] on the codes themselves, [] if all have the same, of θ [] on scores; ``decoder`` is [L, F, D]."""
    if not threshold:
        return threshold
    rows_FLD, most = decoder.transpose(0, 1), torch.finfo(torch.float32).max
    weight_F = torch.stack([share * score_weight(rows_FLD, form) for form, share in shares.items()]).sum(0)
    return one_if_equal(torch.where(weight_F > 0, (threshold / weight_F).clamp(max=most), most))


def kept(threshold: Tensor, shares: dict[str, float]) -> dict[str, Any]:
    """What `restored` needs, as JSON values; an fp32 number comes back from them bit for bit."""
    return {"shares": shares, "threshold": float(threshold)}


def restored(dictionary: Dictionary, notes: dict[str, Any]) -> tuple[Dictionary, dict[str, float]]:
    """The dictionary with the score and θ [] of its file, and the shares; as it is if its levels are others."""
    if "shares" in notes and dictionary.score == "none":
        threshold = torch.tensor(notes["threshold"])
        levels_F = of_codes(threshold, dictionary.decoder, notes["shares"])
        if torch.allclose(dictionary.threshold, levels_F, rtol=1e-5, atol=0):  # norms differ between machines
            return replace(dictionary, score="mixed", threshold=threshold), notes["shares"]
    return dictionary, MIXED
