"""The BatchTopK step on a GPU: kernels where entries are chosen and followed, one product on the tensor cores.

The third statement of the step beside `eager` and `sparse`; tests hold them together. The host never waits inside it:
sizes depend on the batch and k alone, and what was chosen, θ and the counters stay on the device until they are logged.

One thing cannot be sized so: how many latents are dead. The host therefore looks at the counters every few steps
(`look`; logging waits for the device then anyway) and takes all latents that could die before it looks again. In
between the device judges which of them are dead, so every step has the exact auxiliary loss, and while none can be dead
it costs nothing. Looks fall on fixed steps and checkpoints keep what was seen, so a run taken up repeats bit for bit.

Shapes: B tokens, F latents, I = models × width, K latents that may be dead.
"""

import torch
from torch import Tensor

from crossdiff.dictionaries.auxiliary import auxiliary
from crossdiff.dictionaries.checkpoint import State
from crossdiff.dictionaries.kernels.decode import error_of
from crossdiff.dictionaries.kernels.gradients import pull, segments
from crossdiff.dictionaries.kernels.select import batch_topk
from crossdiff.dictionaries.parameters import Parameters, Step, encoder_input, silence, weight_of
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.sparse import gather, preactivation, reconstruction


def step(
    parameters: Parameters, x_BI: Tensor, recipe: Recipe, k: int, silent_F: Tensor, may_die_K: Tensor | None = None
) -> Step:
    """Loss and gradients of one batch of normalised activations x [B, I] fp32, with ``k`` active latents a token.

    ``may_die_K`` holds all latents that can be dead after this batch; without it the host looks, and waits.
    """
    tokens = len(x_BI)
    if may_die_K is None:
        may_die_K = may_die(silent_F, recipe, tokens)
    input_BI = encoder_input(parameters, x_BI, recipe)
    pre_BF = preactivation(parameters, input_BI, recipe)
    weight_F = weight_of(parameters, recipe)
    chosen = batch_topk(pre_BF, weight_F, tokens * k)
    error_BI = error_of(chosen, parameters.decoder_FI, parameters.decoder_bias_I, x_BI)
    loss, delta_BI = reconstruction(error_BI, recipe)
    parts = segments(chosen, recipe.latents)
    kind = getattr(torch, recipe.matmul)
    pulled, squares = pull(parts, parameters.decoder_FI, delta_BI.to(kind), input_BI.to(kind))
    silent_F = silence(silent_F, parts.fired_F, tokens)
    dead_K = silent_F.index_select(0, may_die_K) >= recipe.dead_after_tokens
    dying_BK = pre_BF.index_select(1, may_die_K)
    aux = auxiliary(parameters, pulled, dying_BK, weight_F, error_BI, input_BI, may_die_K, recipe, dead_K)
    gradients = gather(pulled, delta_BI, parameters, recipe)
    # What the auxiliary loss adds, and what `move` takes from an SAE's decoder rows, the sum of squares does not know.
    known = len(may_die_K) == 0 and not recipe.unit_norm
    norm = (squares + gradients.decoder_bias_I.square().sum()).sqrt() if known else None
    return Step(
        loss + recipe.aux_weight * aux, gradients, error_BI, silent_F, chosen.start_B[-1], chosen.score_N.amin(), aux,
        norm,
    )  # fmt: skip


def look(state: State, recipe: Recipe) -> Tensor:
    """Latents that may be dead before the next look, [K] int64; looks again if it is time."""
    if state.may_die_K is None or state.step % recipe.log_every == 0:
        state.may_die_K = may_die(state.silent_F, recipe, recipe.log_every * recipe.batch)
    return state.may_die_K


def may_die(silent_F: Tensor, recipe: Recipe, tokens: int) -> Tensor:
    """Latents that are dead once ``tokens`` more pass without them. The host waits for the device."""
    return (silent_F >= recipe.dead_after_tokens - tokens).nonzero().squeeze(1)
