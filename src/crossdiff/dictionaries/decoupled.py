"""The BatchTopK step in which each model selects for itself: f is shared, what of it a decoder takes is not.

Model m keeps the batch × k largest f·‖d^m‖ (study_spec §1.2, `decoupled`). `sparse` for one selection; `eager` states
both plainly. Shapes: B tokens, L models, D width, F latents, N active entries of a model.
"""

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import norms
from crossdiff.dictionaries.auxiliary import auxiliary
from crossdiff.dictionaries.codes import Pullback, SparseCodes
from crossdiff.dictionaries.parameters import Parameters, Step, encoder_input, silence, weight_of
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.select import Kept, batch_topk
from crossdiff.dictionaries.sparse import gather, preactivation, reconstruction


def step(parameters: Parameters, x_BI: Tensor, recipe: Recipe, k: int, silent_F: Tensor) -> Step:
    """Loss and gradients of one batch of normalised activations x [B, I] fp32, with ``k`` active latents a token, each
    model's own."""
    tokens = len(x_BI)
    kind = getattr(torch, recipe.matmul)
    input_BI = encoder_input(parameters, x_BI, recipe).to(kind)
    pre_BF = preactivation(parameters, input_BI, recipe)
    decoder_FLD = parameters.decoder_FLD(recipe.models)
    kept = [batch_topk(pre_BF, norm_F, tokens * k) for norm_F in norms(decoder_FLD).T.contiguous()]
    codes = [SparseCodes.of(each.flat_N, each.value_N, tokens, recipe.latents) for each in kept]
    rows = [rows_FD.contiguous() for rows_FD in decoder_FLD.unbind(1)]
    given = codes, x_BI.chunk(recipe.models, 1), rows, parameters.decoder_bias_I.chunk(recipe.models)
    error_BI = torch.cat([each.error(*own) for each, *own in zip(*given, strict=True)], 1)
    loss, delta_BI = reconstruction(error_BI, recipe)
    deltas = [delta_BD.contiguous() for delta_BD in delta_BI.to(kind).chunk(recipe.models, 1)]
    parts = zip(codes, rows, deltas, strict=True)
    pulls = [each.pull(rows_FD, delta_BD, input_BI, None) for each, rows_FD, delta_BD in parts]
    pulled = _together(pulls)
    silent_F = silence(silent_F, torch.stack([each.fired() for each in codes]).any(0), tokens)
    dead_K = (silent_F >= recipe.dead_after_tokens).nonzero().squeeze(1)
    dead_BK = pre_BF.index_select(1, dead_K)
    aux = auxiliary(parameters, pulled, dead_BK, weight_of(parameters, recipe), error_BI, input_BI, dead_K, recipe)
    loss = loss + recipe.aux_weight * aux
    active = len(torch.unique(torch.cat([each.flat_N for each in kept])))
    return Step(loss, gather(pulled, delta_BI, parameters, recipe), error_BI, silent_F, active, least(kept), aux)


def least(kept: list[Kept]) -> Tensor:
    """Smallest kept score of each model, fp64 [L]; inf where none was kept."""
    smallest = [each.score_N.min() if len(each.score_N) else each.score_N.new_tensor(torch.inf) for each in kept]
    return torch.stack(smallest).double()


def _together(pulls: list[Pullback]) -> Pullback:
    """Gradients of all models: each latent's encoder is theirs in common, its decoder rows are their own."""
    encoders, biases, decoders = zip(*(each.gradients for each in pulls), strict=True)
    return Pullback(torch.stack(encoders).sum(0), torch.stack(biases).sum(0), torch.cat(decoders, 1))
