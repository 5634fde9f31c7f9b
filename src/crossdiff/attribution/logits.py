"""The tokens that a latent promotes and suppresses: its decoder row read by a model's final norm and unembedding.

The direct path only (logit lens): what the blocks between the site and the head make of the row is left out. Logits
are centred over the vocabulary, for a constant shifts no probability. Shapes: S latents, D width, V vocabulary, T top.
"""

import torch
from torch import Tensor, nn


def unembedding(head: nn.Linear, norm: nn.Module) -> Tensor:
    """W_U with the final norm's gain in its columns, [V, D] float32.

    The gain of an RMS norm, whichever way it is kept, is what the norm makes of a vector of ones.
    """
    weight_VD = head.weight.detach().float()
    if isinstance(norm, nn.LayerNorm):
        return weight_VD * norm.weight.detach().float()
    ones_1D = torch.ones(1, weight_VD.shape[1], dtype=head.weight.dtype, device=head.weight.device)
    return weight_VD * norm(ones_1D).detach().float()


def extremes(rows_SD: Tensor, unembedding_VD: Tensor, top: int) -> dict[str, tuple[Tensor, Tensor]]:
    """For ``promoted`` and ``suppressed``: (token [S, T], logit [S, T]) of each row, strongest first.

    T is ``top``, or the vocabulary where that is smaller.
    """
    logit_SV = rows_SD.float() @ unembedding_VD.T
    logit_SV -= logit_SV.mean(1, keepdim=True)
    top = min(top, logit_SV.shape[1])
    found = {}
    for side, largest in (("promoted", True), ("suppressed", False)):
        value_ST, token_ST = logit_SV.topk(top, dim=1, largest=largest)
        found[side] = (token_ST, value_ST)
    return found
