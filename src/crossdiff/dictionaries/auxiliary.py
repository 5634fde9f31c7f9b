"""The auxiliary loss that revives dead latents (study_spec §1.4), on the dead columns alone.

Each token's strongest dead latents try to explain what the others left over: L = mean‖ê − e‖² / mean‖e − ē‖²,
e = x − x̂ taken as given, ê decoded without bias from the min(D // 2, dead) largest scores. Nothing dead costs
nothing; otherwise four products of dead / F the size of the encoder's.

Shapes: B tokens, D width, F latents, K dead latents, I = models × width.
"""

import torch
from torch import Tensor

from crossdiff.dictionaries.codes import DenseCodes, Pullback
from crossdiff.dictionaries.parameters import Parameters
from crossdiff.dictionaries.recipe import Recipe


def auxiliary(
    parameters: Parameters,
    pulled: Pullback,
    pre_BF: Tensor,
    weight_F: Tensor,
    error_BI: Tensor,
    input_BI: Tensor,
    dead_K: Tensor,
    recipe: Recipe,
) -> Tensor | float:
    """The loss before its weight; adds the weighted gradients to ``pulled``, which it changes in place."""
    chosen = min(error_BI.shape[1] // recipe.models // 2, len(dead_K))
    if chosen == 0:
        return 0.0
    spread = (error_BI - error_BI.mean(0)).square().sum()
    if not spread > 0:
        return 0.0
    value_BK = torch.relu_(pre_BF.index_select(1, dead_K))
    if chosen < len(dead_K):
        strongest = (value_BK.float() * weight_F[dead_K]).topk(chosen, dim=1, sorted=False).indices
        value_BK *= torch.zeros_like(value_BK).scatter_(1, strongest, 1)
    codes = DenseCodes(value_BK, 0)
    decoder_KI = parameters.decoder_FI[dead_K]
    miss_BI = codes.decode(decoder_KI) - error_BI
    revived = codes.pull(decoder_KI, miss_BI * (2 * recipe.aux_weight / spread), input_BI, None)
    for gradient, part in zip(pulled, revived, strict=True):
        gradient[dead_K] += part
    return miss_BI.square().sum() / spread
