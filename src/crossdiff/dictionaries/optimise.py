"""From gradients to the next parameters: schedules, clipping, Adam, unit norms."""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.optim.adam import adam

from crossdiff.dictionaries import adam as short
from crossdiff.dictionaries import compiled, kernels, screen
from crossdiff.dictionaries.parameters import Parameters
from crossdiff.dictionaries.recipe import Moment, Recipe


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


Threshold = float | Tensor | None
"""θ: None before its start; on a device an fp64 scalar, NaN before its start, so that the host need not wait for it. Of
decoupled codes an fp64 vector [L] wherever it is."""


def next_threshold(threshold: Threshold, least: Threshold, recipe: Recipe, step: int) -> Threshold:
    """θ after a step: from ``threshold_start`` on, a moving average of the smallest kept score."""
    if least is None or step < recipe.threshold_start:
        return threshold
    if isinstance(least, Tensor):  # inf if nothing was kept
        before = threshold
        if not isinstance(before, Tensor):
            before = least.new_full((), math.nan if before is None else before, dtype=torch.float64)
        blend = recipe.threshold_decay * before + (1 - recipe.threshold_decay) * least
        return torch.where(least.isinf(), before, torch.where(before.isnan(), least.double(), blend))
    if threshold is None:
        return least
    return recipe.threshold_decay * threshold + (1 - recipe.threshold_decay) * least


def known(threshold: Threshold) -> float | None:
    """θ as a number on the host: the mean of those that are set."""
    value = math.nan if threshold is None else float(torch.as_tensor(threshold, dtype=torch.float64).nanmean())
    return None if math.isnan(value) else value


@dataclass(frozen=True)
class Moments:
    """Adam's state."""

    mean: Parameters
    """Moving average of the gradients."""
    square: Parameters
    """Moving average of their squares."""
    steps: list[Tensor]
    """Steps done, a scalar for each tensor; kept up by PyTorch's Adam only."""
    exponents: list[Tensor] = field(default_factory=list)
    """Of the blocks of each tensor's moments, where these are float8 (see `adam`)."""


def no_moments(parameters: Parameters, form: Moment = "float32") -> Moments:
    """Before the first step."""
    kind = short.DTYPES[form]
    return Moments(
        mean=Parameters(*(torch.zeros_like(tensor, dtype=kind) for tensor in parameters.tensors)),
        square=Parameters(*(torch.zeros_like(tensor, dtype=kind) for tensor in parameters.tensors)),
        steps=[torch.zeros((), device=tensor.device) for tensor in parameters.tensors],
        exponents=[short.no_exponents(tensor) for tensor in parameters.tensors] if form == "float8" else [],
    )


def ready(parameters: Parameters, recipe: Recipe) -> Parameters:
    """The parameters with copies of the encoder as products read it, where `move` keeps them as it moves these."""
    if recipe.matmul != "bfloat16" or recipe.path == "eager" or not compiled.serve(parameters.encoder_FI):
        return parameters
    encoder_FI = parameters.encoder_FI
    return replace(parameters, short_FI=encoder_FI.to(torch.bfloat16), coarse=screen.prepared(encoder_FI, recipe))


def move(
    parameters: Parameters,
    gradients: Parameters,
    moments: Moments,
    recipe: Recipe,
    step: int,
    norm: Tensor | None = None,
    sums_2F: Tensor | None = None,
) -> None:
    """One step of Adam with what the recipe asks for around it; all tensors are changed in place.

    ``norm`` is the gradients' global norm, ``sums`` are of each latent's (see `codes.Pullback`), where they are known.
    """
    largest = recipe.clip_norm if recipe.sparsity == "batchtopk" else None
    if recipe.moments == "float32" and compiled.serve(parameters.encoder_FI):
        _move_compiled(parameters, gradients, moments, recipe, step, largest, sums_2F)
        return
    if recipe.unit_norm:
        remove_parallel(gradients.decoder_FI, parameters.decoder_FI)
    if recipe.moments != "float32" or kernels.serve(parameters.encoder_FI):  # gradients are clipped as they are read
        factor = None if largest is None else clip_factor(gradients.tensors, largest, norm)
        groups = [group.tensors for group in (parameters, gradients, moments.mean, moments.square)]
        short.move(groups, moments.exponents, short.rule(learning_rate(recipe, step), recipe.betas, step, factor))
    else:
        _move_as_pytorch(parameters, gradients, moments, recipe, step, largest)
    if recipe.unit_norm:
        to_unit(parameters.decoder_FI)
    if parameters.short_FI is not None:
        parameters.short_FI.copy_(parameters.encoder_FI)
    if parameters.coarse is not None:
        from crossdiff.dictionaries.compiled import passes

        passes.coarse(parameters.encoder_FI, out=parameters.coarse)


def _move_compiled(
    parameters: Parameters, gradients: Parameters, moments: Moments, recipe: Recipe, step: int, largest: float | None,
    sums_2F: Tensor | None,
) -> None:  # fmt: skip
    from crossdiff.dictionaries.compiled import passes

    if sums_2F is None:
        of_latents = gradients.encoder_FI, gradients.encoder_bias_F, gradients.decoder_FI
        sums_2F = passes.measured(of_latents, parameters.decoder_FI)
    square_F, along_F = sums_2F
    if recipe.unit_norm:  # ‖g − (g·d)d‖² = ‖g‖² − (g·d)²
        square_F = square_F - along_F.square()
    factor = None
    if largest is not None:
        total = square_F.sum(dtype=torch.float64) + gradients.decoder_bias_I.square().sum(dtype=torch.float64)
        factor = clip_factor(gradients.tensors, largest, total.sqrt().float())
    rule = short.rule(learning_rate(recipe, step), recipe.betas, step, factor)
    encoder, encoder_bias, decoder, decoder_bias = zip(
        parameters.tensors, gradients.tensors, moments.mean.tensors, moments.square.tensors, strict=True
    )
    passes.update(*encoder, rule, short=parameters.short_FI, eight=parameters.coarse)
    passes.update(*encoder_bias, rule)
    passes.update(*decoder, rule, along_M=along_F if recipe.unit_norm else None)
    passes.update(*decoder_bias, rule)


def _move_as_pytorch(
    parameters: Parameters, gradients: Parameters, moments: Moments, recipe: Recipe, step: int, largest: float | None
) -> None:
    if largest is not None:
        clip(gradients.tensors, largest)
    # The functional form: to build torch.optim.Adam imports PyTorch's compiler, seconds a job.
    adam(
        parameters.tensors, gradients.tensors, moments.mean.tensors, moments.square.tensors, [], moments.steps,
        fused=True, amsgrad=False, beta1=recipe.betas[0], beta2=recipe.betas[1], lr=learning_rate(recipe, step),
        weight_decay=0.0, eps=1e-8, maximize=False,
    )  # fmt: skip


def remove_parallel(gradient_FI: Tensor, decoder_FI: Tensor) -> None:
    """Take from each row of the gradient what is parallel to the decoder's row of norm 1, in place."""
    if kernels.serve(gradient_FI):
        from crossdiff.dictionaries.kernels import rows

        rows.remove_parallel(gradient_FI, decoder_FI)
        return
    along_F1 = torch.linalg.vecdot(gradient_FI, decoder_FI).unsqueeze(1)
    gradient_FI.addcmul_(decoder_FI, along_F1, value=-1)


def to_unit(decoder_FI: Tensor) -> None:
    """Scale each row to norm 1, in place."""
    if kernels.serve(decoder_FI):
        from crossdiff.dictionaries.kernels import rows

        rows.to_unit(decoder_FI)
        return
    decoder_FI.div_(torch.linalg.vector_norm(decoder_FI, dim=1, keepdim=True))


def clip(gradients: list[Tensor], largest: float) -> None:
    """Scale all gradients, in place, so that their global norm is at most ``largest``."""
    torch._foreach_mul_(gradients, clip_factor(gradients, largest))


def clip_factor(gradients: list[Tensor], largest: float, norm: Tensor | None = None) -> Tensor:
    """What scales gradients to a global norm of at most ``largest``, fp32 []; ``norm`` is theirs, if known."""
    if norm is None:
        norm = torch.nn.utils.get_total_norm(gradients)
    return (largest / (norm + 1e-6)).clamp_max(1.0)
