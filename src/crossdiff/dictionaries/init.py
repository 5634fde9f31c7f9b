"""How training starts (study_spec §1.1, §1.5).

Shapes: B tokens, L models, D width, F latents, I = L·D.
"""

import torch
from torch import Tensor

from crossdiff.dictionaries.parameters import Parameters
from crossdiff.dictionaries.recipe import Recipe


def initial(recipe: Recipe, x_BI: Tensor, seed: int) -> Parameters:
    """Parameters before the first step; ``x`` is the first batch, normalised, [B, I] fp32.

    Crosscoder: one Kaiming-uniform matrix, copied to both models, each latent's row scaled to ``init_norm``.
    SAE: random rows of norm 1. The encoder is the decoder transposed; its bias is 0. The decoder bias is each
    model's geometric median of the first batch, but 0 for an L1 crosscoder.
    """
    width = x_BI.shape[1] // recipe.models
    generator = torch.Generator().manual_seed(seed)
    rows_FD = torch.empty(recipe.latents, width)
    if recipe.unit_norm:
        torch.nn.init.normal_(rows_FD, generator=generator)
        norm = 1.0
    else:
        torch.nn.init.kaiming_uniform_(rows_FD, generator=generator)
        norm = recipe.init_norm
    rows_FD *= norm / torch.linalg.vector_norm(rows_FD, dim=1, keepdim=True)
    rows_FI = rows_FD.repeat(1, recipe.models).to(x_BI.device)
    median = recipe.sparsity == "batchtopk" or recipe.unit_norm
    bias_I = geometric_median(x_BI.view(len(x_BI), recipe.models, width)).flatten() if median else rows_FI.new_zeros(())
    return Parameters(
        encoder_FI=rows_FI.clone(),
        encoder_bias_F=rows_FI.new_zeros(recipe.latents),
        decoder_FI=rows_FI,
        decoder_bias_I=bias_I.expand(x_BI.shape[1]).clone(),
    )


def geometric_median(x_BLD: Tensor, iterations: int = 100, tolerance: float = 1e-5) -> Tensor:
    """Each model's point [L, D] of least summed distance to its tokens, by Weiszfeld's iteration from the mean.

    Stops when no model's point moves by ``tolerance``.
    """
    median_LD = x_BLD.mean(0)
    for _ in range(iterations):
        distance_BL = torch.linalg.vector_norm(x_BLD - median_LD, dim=2).clamp_min_(1e-12)
        weight_BL = 1 / distance_BL
        weight_BL /= weight_BL.sum(0)
        previous_LD, median_LD = median_LD, torch.einsum("bl,bld->ld", weight_BL, x_BLD)
        if float(torch.linalg.vector_norm(median_LD - previous_LD, dim=1).max()) < tolerance:
            break
    return median_LD
