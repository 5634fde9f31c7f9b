"""From gradients to the next parameters: schedules, clipping, Adam, unit norms."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam

from crossdiff.dictionaries.parameters import Parameters
from crossdiff.dictionaries.recipe import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """Rate of step 0, 1, …: linear warm-up whose last step has the full rate, then constant, then linear to 0."""
    rate = recipe.lr
    if recipe.warmup_steps:
        rate *= min(1.0, (step + 1) / recipe.warmup_steps)
    if recipe.decay_start is not None and step >= recipe.decay_start:
        rate *= (recipe.steps - step) / max(1, recipe.steps - recipe.decay_start)
    return rate


def active_latents(recipe: Recipe, step: int) -> int:
    """k of step 0, 1, …: linear from ``k_start`` to ``k`` over ``k_anneal_steps``, rounded."""
    if recipe.k_start is None or step >= recipe.k_anneal_steps:
        return recipe.k
    return round(recipe.k_start + (recipe.k - recipe.k_start) * step / recipe.k_anneal_steps)


def next_threshold(threshold: float | None, least: float | None, recipe: Recipe, step: int) -> float | None:
    """θ after a step: from ``threshold_start`` on, a moving average of the smallest kept score."""
    if least is None or step < recipe.threshold_start:
        return threshold
    if threshold is None:
        return least
    return recipe.threshold_decay * threshold + (1 - recipe.threshold_decay) * least


@dataclass(frozen=True)
class Moments:
    """Adam's state."""

    mean: Parameters
    """Moving average of the gradients."""
    square: Parameters
    """Moving average of their squares."""
    steps: list[Tensor]
    """Steps done, a scalar for each tensor."""


def no_moments(parameters: Parameters) -> Moments:
    """Before the first step."""
    return Moments(
        mean=Parameters(*(torch.zeros_like(tensor) for tensor in parameters.tensors)),
        square=Parameters(*(torch.zeros_like(tensor) for tensor in parameters.tensors)),
        steps=[torch.zeros((), device=tensor.device) for tensor in parameters.tensors],
    )


def move(parameters: Parameters, gradients: Parameters, moments: Moments, recipe: Recipe, step: int) -> None:
    """One step of Adam with what the recipe asks for around it; all tensors are changed in place."""
    if recipe.unit_norm:
        remove_parallel(gradients.decoder_FI, parameters.decoder_FI)
    if recipe.clip_norm is not None and recipe.sparsity == "batchtopk":
        clip(gradients.tensors, recipe.clip_norm)
    # The functional form: to build torch.optim.Adam imports PyTorch's compiler, seconds a job.
    adam(
        parameters.tensors, gradients.tensors, moments.mean.tensors, moments.square.tensors, [], moments.steps,
        fused=True, amsgrad=False, beta1=recipe.betas[0], beta2=recipe.betas[1], lr=learning_rate(recipe, step),
        weight_decay=0.0, eps=1e-8, maximize=False,
    )  # fmt: skip
    if recipe.unit_norm:
        parameters.decoder_FI.div_(torch.linalg.vector_norm(parameters.decoder_FI, dim=1, keepdim=True))


def remove_parallel(gradient_FI: Tensor, decoder_FI: Tensor) -> None:
    """Take from each row of the gradient what is parallel to the decoder's row of norm 1, in place."""
    along_F1 = torch.linalg.vecdot(gradient_FI, decoder_FI).unsqueeze(1)
    gradient_FI.addcmul_(decoder_FI, along_F1, value=-1)


def clip(gradients: list[Tensor], largest: float) -> None:
    """Scale all gradients, in place, so that their global norm is at most ``largest``."""
    factor = largest / (torch.nn.utils.get_total_norm(gradients) + 1e-6)
    torch._foreach_mul_(gradients, factor.clamp_max(1.0))
