"""The training loss stated plainly: dense tensors, autograd, a full sort. The reference for `sparse`.

Shapes: B tokens, L models, D width, F latents, I = L·D.
"""

import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from crossdiff.dictionaries.architecture import norms
from crossdiff.dictionaries.parameters import Parameters, Step, encoder_input, silence, weight_of
from crossdiff.dictionaries.recipe import Recipe


def step(parameters: Parameters, x_BI: Tensor, recipe: Recipe, k: int, silent_F: Tensor) -> Step:
    """Loss and gradients of one batch of normalised activations x [B, I] fp32, with ``k`` active latents a token."""
    leaves = Parameters(*(tensor.detach().requires_grad_() for tensor in parameters.tensors))
    tokens = len(x_BI)
    kind = getattr(torch, recipe.matmul)
    input_BI = encoder_input(leaves, x_BI, recipe)
    pre_BF = linear(input_BI.to(kind), leaves.encoder_FI.to(kind), leaves.encoder_bias_F.to(kind)).float()
    positive_BF = relu(pre_BF)
    weight_F = weight_of(leaves, recipe)
    code_SBF, least = _codes(positive_BF, leaves, recipe, tokens * k)
    code_BF = code_SBF.amax(0)
    rows = leaves.decoder_FI.chunk(len(code_SBF), 1)
    rebuilt_BI = torch.cat([code @ rows_FD for code, rows_FD in zip(code_SBF, rows, strict=True)], 1)
    error_BI = x_BI - (rebuilt_BI + leaves.decoder_bias_I)
    error_BLD = error_BI.view(tokens, recipe.models, -1)
    norm_BL = torch.linalg.vector_norm(error_BLD, dim=2)
    loss = (norm_BL if recipe.loss_form == "norm" else norm_BL.square()).mean()
    if recipe.hybrid:
        loss = loss + recipe.hybrid * (error_BLD[:, 0] * error_BLD[:, 1]).sum(1).mean()
    silent_F = silence(silent_F, (code_BF > 0).any(0), tokens)
    aux: float | Tensor = 0.0
    if recipe.sparsity == "l1":
        loss = loss + recipe.l1 * (code_BF * weight_F).sum(1).mean()
    else:
        dead_F = silent_F >= recipe.dead_after_tokens
        aux = auxiliary(positive_BF, weight_F.detach(), leaves.decoder_FI, error_BI.detach(), dead_F, recipe)
        loss = loss + recipe.aux_weight * aux
    loss.backward()
    gradients = Parameters(*(torch.zeros_like(t) if t.grad is None else t.grad for t in leaves.tensors))
    active = int((code_BF > 0).sum())
    return Step(
        loss.detach(), gradients, error_BI.detach(), silent_F, active, least,
        aux.detach() if isinstance(aux, Tensor) else aux,
    )  # fmt: skip


def _codes(positive_BF: Tensor, leaves: Parameters, recipe: Recipe, count: int) -> tuple[Tensor, float | Tensor | None]:
    """Codes of each selection [S, B, F], one or one a model, and the smallest kept score (of each, if decoupled)."""
    if recipe.sparsity == "l1":
        return positive_BF[None], None
    weight_F = weight_of(leaves, recipe).detach()
    weight_SF = norms(leaves.decoder_FLD(recipe.models)).detach().T if recipe.decoupled else weight_F[None]
    score_SBF = positive_BF.detach() * weight_SF[:, None]
    keep_SBF = torch.stack([largest(score_BF, count) for score_BF in score_SBF])
    least_S = torch.where(keep_SBF, score_SBF, torch.inf).amin((1, 2))
    if recipe.decoupled:
        return positive_BF * keep_SBF, least_S.double()
    return positive_BF * keep_SBF, float(least_S) if keep_SBF.any() else None


def largest(score_BF: Tensor, count: int) -> Tensor:
    """Mask [B, F] of the ``count`` largest positive scores; ties go to the lowest flat index."""
    order = score_BF.flatten().sort(descending=True, stable=True).indices[:count]
    mask = torch.zeros(score_BF.numel(), dtype=torch.bool, device=score_BF.device)
    mask[order] = True
    return mask.view_as(score_BF) & (score_BF > 0)


def auxiliary(
    positive_BF: Tensor, weight_F: Tensor, decoder_FI: Tensor, error_BI: Tensor, dead_F: Tensor, recipe: Recipe
) -> Tensor | float:
    """mean‖ê − e‖² / mean‖e − ē‖² with ê decoded from each token's strongest dead latents; 0 if it is undefined."""
    chosen = min(error_BI.shape[1] // recipe.models // 2, int(dead_F.sum()))
    if chosen == 0:
        return 0.0
    score_BF = torch.where(dead_F, positive_BF.detach() * weight_F, -torch.inf)
    mask_BF = torch.zeros_like(score_BF).scatter_(1, score_BF.topk(chosen, dim=1).indices, 1.0)
    guess_BI = (positive_BF * mask_BF) @ decoder_FI
    miss = (guess_BI - error_BI).square().sum(1).mean()
    spread = (error_BI - error_BI.mean(0)).square().sum(1).mean()
    return miss / spread if spread > 0 else 0.0
