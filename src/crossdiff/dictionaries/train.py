"""The training loop, on plain batches: what feeds it and where results go is the caller's business.

Shapes: B tokens, L models, D width, F latents, I = L·D.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossdiff.dictionaries import checkpoint, decoupled, eager, kernels, sparse
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.checkpoint import State
from crossdiff.dictionaries.init import initial
from crossdiff.dictionaries.metrics import MODELS, explained
from crossdiff.dictionaries.normalise import Normaliser
from crossdiff.dictionaries.optimise import (
    active_latents,
    known,
    learning_rate,
    move,
    next_threshold,
    no_moments,
    ready,
)
from crossdiff.dictionaries.parameters import Parameters, Step
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.errors import UserError

Batches = Callable[[int], Iterator[Tensor]]
"""From a step to the batches from that step on: raw activations [B, L, D], as the dictionary reads them."""
Point = dict[str, float | None]


def train(
    batches: Batches,
    recipe: Recipe,
    normaliser: Normaliser,
    seed: int,
    *,
    kept_in: Path | None = None,
    fingerprint: str = "",
    about: dict[str, Any] | None = None,
    on_step: Callable[[int], object] = lambda steps: None,
    on_point: Callable[[Point], object] = lambda point: None,
) -> tuple[Dictionary, list[Point]]:
    """Train a dictionary; returns it and the points of its curves (see `point`).

    Deterministic for a seed at a fixed number of threads. With ``kept_in`` the state is kept there every
    ``checkpoint_every`` steps, and a state found there under the same ``fingerprint`` is taken up: the outcome is
    that of an uninterrupted run, bit for bit. ``on_step`` is told how many steps were done, ``on_point`` each point.
    UserError if the loss stops being finite. The device is the normaliser's.
    """
    trainer = Trainer(recipe, normaliser, seed, kept_in, fingerprint, on_point)
    stream = batches(trainer.steps)
    on_step(trainer.steps)
    while not trainer.finished:
        trainer.learn(next(stream))
        if kept_in and trainer.steps % recipe.checkpoint_every == 0 and not trainer.finished:
            trainer.keep()
        on_step(1)
    return trainer.outcome(about or {"recipe": asdict(recipe), "seed": seed})


class Trainer:
    """A training that is given one batch after another: what `train` does with a stream of its own.

    A state found in ``kept_in`` under the same ``fingerprint`` is taken up; `steps` tells where it stands.
    """

    def __init__(
        self,
        recipe: Recipe,
        normaliser: Normaliser,
        seed: int,
        kept_in: Path | None = None,
        fingerprint: str = "",
        on_point: Callable[[Point], object] = lambda point: None,
    ):
        self.recipe, self.normaliser, self.seed = recipe, normaliser, seed
        self.kept_in, self.fingerprint, self.on_point = kept_in, fingerprint, on_point
        self.device = normaliser.mean.device
        self.state = checkpoint.read(kept_in, fingerprint, self.device) if kept_in else None
        if self.state is not None:
            self.state.parameters = ready(self.state.parameters, recipe)
        self.start_clock()

    @property
    def steps(self) -> int:
        """Steps done."""
        return self.state.step if self.state else 0

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.steps >= self.recipe.steps

    def start_clock(self) -> None:
        """Count the speed of the next point from now on."""
        self._clock, self._since = time.perf_counter(), 0

    def learn(self, raw_BLD: Tensor) -> None:
        """One step on raw activations, as the dictionary reads them; the first batch also fixes where it starts."""
        x_BLD = presented(self.normaliser(sent(raw_BLD, self.device)), self.recipe, self.seed, self.steps)
        if self.state is None:
            self.state = self._begun(x_BLD)
            self.start_clock()
        state = self.state
        done = _advance(state, x_BLD.flatten(1), self.recipe)
        self._since += len(x_BLD)
        if state.step % self.recipe.log_every == 0 or state.step == self.recipe.steps:
            if self.device.type == "cuda":  # the host is ahead
                torch.cuda.synchronize(self.device)
            speed = self._since / (time.perf_counter() - self._clock)
            state.curves.append(point(state, done, x_BLD, self.recipe, speed))
            self.start_clock()
            self.on_point(state.curves[-1])

    def keep(self) -> None:
        """Write the state to ``kept_in``."""
        if self.kept_in and self.state:
            checkpoint.write(self.kept_in, self.state, self.fingerprint)

    def outcome(self, about: dict[str, Any]) -> tuple[Dictionary, list[Point]]:
        """The dictionary and the points of its curves, after at least one step."""
        if self.state is None:
            raise RuntimeError("the training has not begun")
        return export(self.state, self.recipe, self.normaliser, about), self.state.curves

    def _begun(self, x_BLD: Tensor) -> State:
        parameters = ready(initial(self.recipe, x_BLD.flatten(1), self.seed), self.recipe)
        silent_F = torch.zeros(self.recipe.latents, dtype=torch.int64, device=self.device)
        moments = no_moments(parameters, self.recipe.moments)
        return State(parameters, moments, silent_F, threshold=None, step=0, curves=[])


def presented(x_BLD: Tensor, recipe: Recipe, seed: int, step: int) -> Tensor:
    """What a step learns from, given normalised activations: those of base − chat, or noise, if the recipe says so."""
    if recipe.noise:
        drawn = np.random.default_rng([seed, step]).standard_normal(x_BLD.shape, dtype=np.float32)
        return torch.from_numpy(drawn).to(x_BLD.device)
    return -x_BLD if recipe.difference == "base - chat" else x_BLD


def _advance(state: State, x_BI: Tensor, recipe: Recipe) -> Step:
    """One step, in place."""
    given = state.parameters, x_BI, recipe, active_latents(recipe, state.step), state.silent_F
    if recipe.path == "eager":
        done = eager.step(*given)
    elif recipe.decoupled:
        done = decoupled.step(*given)
    elif recipe.path == "auto" and recipe.sparsity == "batchtopk" and kernels.serve(x_BI):
        from crossdiff.dictionaries import gpu

        done = gpu.step(*given, gpu.look(state, recipe))
    else:
        done = sparse.step(*given)
    move(state.parameters, done.gradients, state.moments, recipe, state.step, done.norm, done.sums_2F)
    state.silent_F = done.silent_F
    state.threshold = next_threshold(state.threshold, done.least_score, recipe, state.step)
    state.step += 1
    return done


def sent(x_BLD: Tensor, device: torch.device) -> Tensor:
    """A batch on the device; on a GPU it arrives while the host goes on."""
    if device.type != "cuda" or x_BLD.is_cuda:
        return x_BLD.to(device)
    return x_BLD.pin_memory().to(device, non_blocking=True)


def point(state: State, done: Step, x_BLD: Tensor, recipe: Recipe, tokens_per_second: float) -> Point:
    """One point of the curves, of the batch just trained on.

    loss (all terms), auxiliary (unweighted), fve (pooled) and fve_base, fve_chat (crosscoder), l0 (entries a token),
    dead (share of latents silent for ``dead_after_tokens``), threshold (mean over models if decoupled), lr,
    tokens (presented), tokens_per_second.
    """
    loss = float(done.loss)
    if not math.isfinite(loss):
        raise UserError(f"training: the loss is {loss} at step {state.step}: lower lr (now {recipe.lr:g})")
    error_LB = done.error_BI.view_as(x_BLD).square().sum(2).T
    spread_LB = (x_BLD - x_BLD.mean(0)).square().sum(2).T
    fve = explained(error_LB.sum(1), spread_LB.sum(1))
    return {
        "step": state.step,
        "tokens": state.step * len(x_BLD),
        "loss": loss,
        "auxiliary": float(done.auxiliary),
        "fve": fve["fve"],
        **{f"fve_{model}": fve.get(f"fve_{model}") for model in MODELS},
        "l0": float(done.active) / len(x_BLD),
        "dead": float((state.silent_F >= recipe.dead_after_tokens).float().mean()),
        "threshold": known(state.threshold),
        "lr": learning_rate(recipe, state.step - 1),
        "tokens_per_second": tokens_per_second,
    }


def export(state: State, recipe: Recipe, normaliser: Normaliser, about: dict[str, Any]) -> Dictionary:
    """The dictionary of a state, in canonical form; an SAE's x − b_dec is folded into its encoder bias.

    What learnt from base − chat is turned into the dictionary of chat − base, to which the normaliser belongs.
    """
    parameters: Parameters = state.parameters
    models, latents = recipe.models, recipe.latents
    bias_F = parameters.encoder_bias_F
    if recipe.unit_norm:
        bias_F = bias_F - parameters.encoder_FI @ parameters.decoder_bias_I
    found = Dictionary(
        kind=recipe.kind,
        score=recipe.score_form,
        encoder=parameters.encoder_FI.view(latents, models, -1).permute(1, 2, 0).contiguous(),
        encoder_bias=bias_F.clone(),
        decoder=parameters.decoder_FI.view(latents, models, -1).permute(1, 0, 2).contiguous(),
        decoder_bias=parameters.decoder_bias_I.view(models, -1).clone(),
        threshold=_threshold(state, recipe).to(bias_F.device),
        mean=normaliser.mean,
        scale=normaliser.scale,
        about=about,
    )
    return replace(found.negated(), mean=normaliser.mean) if recipe.difference == "base - chat" else found


def _threshold(state: State, recipe: Recipe) -> Tensor:
    """θ [] or, of decoupled codes, [L], fp32; 0 where it was never set."""
    if recipe.decoupled and isinstance(state.threshold, Tensor):
        return state.threshold.nan_to_num(0.0).float()
    return torch.full([recipe.models] if recipe.decoupled else [], known(state.threshold) or 0.0)
