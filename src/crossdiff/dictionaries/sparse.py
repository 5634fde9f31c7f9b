"""The fast training step: one encoder product at most, then only the chosen entries; gradients by hand.

`eager` states the same loss plainly; tests hold the two together. No autograd, no float atomics:
a step repeats bit for bit.

Shapes: B tokens, L models, D width, F latents, I = L·D.
"""

import torch
from torch import Tensor

from crossdiff.dictionaries import kernels, screen
from crossdiff.dictionaries.architecture import MIXED
from crossdiff.dictionaries.auxiliary import auxiliary
from crossdiff.dictionaries.codes import DENSE_ABOVE, Codes, DenseCodes, Pullback, SparseCodes
from crossdiff.dictionaries.parameters import Parameters, Step, encoder_input, silence, weight_of
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.select import Kept, batch_topk, entries, positives
from crossdiff.products import linear


def step(parameters: Parameters, x_BI: Tensor, recipe: Recipe, k: int, silent_F: Tensor) -> Step:
    """Loss and gradients of one batch of normalised activations x [B, I] fp32, with ``k`` active latents a token."""
    tokens = len(x_BI)
    kind = getattr(torch, recipe.matmul)
    seen_BI = encoder_input(parameters, x_BI, recipe)
    input_BI = seen_BI.to(kind)
    weight_F = weight_of(parameters, recipe)
    pre_BF: Tensor | None = None
    codes: Codes
    kept = screen.batch_topk(parameters, seen_BI, input_BI, weight_F, tokens * k)
    if kept is not None:
        codes, least = _coded(kept, tokens, recipe.latents)
    else:
        pre_BF = preactivation(parameters, input_BI, recipe)
        codes, least = _choose(pre_BF, weight_F, recipe, k)
    error_BI = codes.error(x_BI, parameters.decoder_FI, parameters.decoder_bias_I)
    loss, delta_BI = reconstruction(error_BI, recipe)
    charge_F = weight_F * (recipe.l1 / tokens) if recipe.sparsity == "l1" else None
    pulled = codes.pull(parameters.decoder_FI, delta_BI.to(kind), input_BI, charge_F)
    silent_F = silence(silent_F, codes.fired(), tokens)
    aux: float | Tensor = 0.0
    if recipe.sparsity == "l1":
        total_F = codes.total()
        loss = loss + recipe.l1 / tokens * (total_F @ weight_F)
        pulled = pulled._replace(sums_2F=None)
        _charge_decoder(pulled.decoder_FI, parameters, total_F * (recipe.l1 / tokens), recipe)
    else:
        dead_K = (silent_F >= recipe.dead_after_tokens).nonzero().squeeze(1)
        if len(dead_K):
            if pre_BF is None:
                dead_BK = preactivation(parameters, input_BI, recipe, dead_K)
            else:
                dead_BK = pre_BF.index_select(1, dead_K)
            aux = auxiliary(parameters, pulled, dead_BK, weight_F, error_BI, input_BI, dead_K, recipe)
        loss = loss + recipe.aux_weight * aux
    gradients = gather(pulled, delta_BI, parameters, recipe)
    return Step(loss, gradients, error_BI, silent_F, codes.active, least, aux, sums_2F=pulled.sums_2F)


def preactivation(
    parameters: Parameters, input_BI: Tensor, recipe: Recipe, latent_K: Tensor | slice = slice(None)
) -> Tensor:
    """x·W + b [B, F], of all latents or some, in the precision of the recipe's products."""
    kind = getattr(torch, recipe.matmul)
    encoder_FI = parameters.encoder_FI if parameters.short_FI is None else parameters.short_FI
    rows_FI, bias_F = encoder_FI[latent_K].to(kind), parameters.encoder_bias_F[latent_K].to(kind)
    return linear(input_BI.to(kind), rows_FI, bias_F)


def reconstruction(error_BI: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Mean over tokens and models of ‖ε‖₂ or ‖ε‖₂² (study_spec §1.3, §1.5), and its gradient by x̂.

    With `hybrid` λ each model's squared error is ⟨ε, ε + λ·ε'⟩, ε' the other model's (§5).
    """
    error_BLD = error_BI.view(len(error_BI), recipe.models, -1)
    count = error_BLD.shape[0] * error_BLD.shape[1]
    if recipe.loss_form == "squared":
        pulled_BI = error_BI
        if recipe.hybrid:
            pulled_BI = torch.add(error_BLD, error_BLD.flip(1), alpha=recipe.hybrid).view_as(error_BI)
        return (error_BI * pulled_BI).sum() / count, pulled_BI * (-2 / count)
    norm_BL1 = torch.linalg.vector_norm(error_BLD, dim=2, keepdim=True)
    factor_BL1 = torch.where(norm_BL1 > 0, -1 / (norm_BL1 * count), 0.0)
    return norm_BL1.sum() / count, (error_BLD * factor_BL1).view_as(error_BI)


def _choose(pre_BF: Tensor, weight_F: Tensor, recipe: Recipe, k: int) -> tuple[Codes, float | None]:
    """The batch's codes, in the cheaper form, and the smallest kept score (BatchTopK)."""
    tokens, latents = pre_BF.shape
    if recipe.sparsity == "l1":
        if recipe.path == "auto" and kernels.serve(pre_BF):  # dense products: to choose, the host would have to wait
            value_BF = torch.relu_(pre_BF)
            return DenseCodes(value_BF, torch.count_nonzero(value_BF)), None
        active = positives(pre_BF)
        if _dense(active, pre_BF, recipe):
            return DenseCodes(torch.relu_(pre_BF), active), None
        found = entries(pre_BF, torch.zeros_like(weight_F), weight_F)
        return SparseCodes.of(found.flat_N, found.value_N, tokens, latents), None
    kept = batch_topk(pre_BF, weight_F, tokens * k)
    codes, least = _coded(kept, tokens, latents)
    if _dense(codes.active, pre_BF, recipe):
        value_BF = torch.zeros_like(pre_BF)
        value_BF.view(-1)[kept.flat_N] = kept.value_N.to(pre_BF.dtype)
        return DenseCodes(value_BF, codes.active), least
    return codes, least


def _coded(kept: Kept, tokens: int, latents: int) -> tuple[SparseCodes, float | None]:
    """Codes of what is kept, and its smallest score."""
    least = float(kept.score_N.min()) if len(kept.score_N) else None
    return SparseCodes.of(kept.flat_N, kept.value_N, tokens, latents), least


def _dense(active: int, pre_BF: Tensor, recipe: Recipe) -> bool:
    return recipe.path == "auto" and active > DENSE_ABOVE * pre_BF.numel()


def _charge_decoder(gradient_FI: Tensor, parameters: Parameters, charge_F: Tensor, recipe: Recipe) -> None:
    """Add the gradient that the L1 charge Σ_j charge_j·w_j sends into the decoder norms w is made of."""
    if recipe.score_form == "none":
        return
    for form, share in (MIXED if recipe.score_form == "mixed" else {recipe.score_form: 1.0}).items():
        parts = recipe.models if form == "sum" else 1
        decoder_FPD = parameters.decoder_FI.view(len(charge_F), parts, -1)
        norm_FP1 = torch.linalg.vector_norm(decoder_FPD, dim=2, keepdim=True)
        factor_FP1 = torch.where(norm_FP1 > 0, share * charge_F[:, None, None] / norm_FP1, 0.0)
        gradient_FI.view_as(decoder_FPD).addcmul_(decoder_FPD, factor_FP1)


def gather(pulled: Pullback, delta_BI: Tensor, parameters: Parameters, recipe: Recipe) -> Parameters:
    """All gradients; an SAE's decoder bias is felt by the encoder too."""
    bias_I = delta_BI.sum(0)
    if recipe.unit_norm:
        bias_I -= _felt(pulled.encoder_bias_F, parameters)
    return Parameters(pulled.encoder_FI, pulled.encoder_bias_F, pulled.decoder_FI, bias_I)


def _felt(gradient_F: Tensor, parameters: Parameters) -> Tensor:
    """Gradients of the latents times the encoder as products read it, [I] fp32."""
    if parameters.short_FI is None:
        return gradient_F @ parameters.encoder_FI
    from crossdiff.dictionaries.compiled import passes

    return passes.summed(gradient_F, parameters.short_FI)
