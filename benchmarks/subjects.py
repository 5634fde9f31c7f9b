"""Who takes part in `benchmarks.training`, beside the packages of `benchmarks.peers`.

A subject is made for a case (its weights and moments then stand in memory) and takes one step on each batch given.

Shapes: B tokens, L models, D width, F latents, I = L·D.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from benchmarks.published import PublishedTrainer
from crossdiff.dictionaries import train
from crossdiff.dictionaries.checkpoint import State
from crossdiff.dictionaries.init import initial
from crossdiff.dictionaries.optimise import no_moments, ready
from crossdiff.dictionaries.recipe import Recipe

Steps = Callable[[list[Tensor]], object]
"""One training step on each of these batches [B, L, D] fp32."""


@dataclass(frozen=True)
class Case:
    """Shapes that all subjects share."""

    models: int
    width: int
    latents: int
    k: int
    batch: int
    device: str = "cpu"
    seed: int = 0
    lr: float = 1e-4
    moments: str | None = None
    """How our Adam keeps its moments, where the recipe has a say in it; its default otherwise."""

    @property
    def name(self) -> str:
        """Short, for tables."""
        kind = "crosscoder" if self.models == 2 else "diff-SAE"
        return f"{kind} D={self.width} F={self.latents} k={self.k} B={self.batch}"

    @property
    def flops(self) -> float:
        """Operations of one encoder product."""
        return 2.0 * self.batch * self.models * self.width * self.latents


def ours(case: Case, first_BLD: Tensor, path: str = "auto") -> Steps:
    """A step of `crossdiff.dictionaries.train`: gradients, Adam and all that a training step keeps."""
    state, recipe = start(case, first_BLD, path)
    return lambda batches: [train._advance(state, x_BLD.flatten(1), recipe) for x_BLD in batches]


def start(case: Case, first_BLD: Tensor, path: str = "auto") -> tuple[State, Recipe]:
    """The state before the first step, and its recipe."""
    settings: dict[str, Any] = {
        "kind": "crosscoder" if case.models == 2 else "diff-sae", "latents": case.latents, "k": case.k,
        "batch": case.batch, "lr": case.lr, "warmup_steps": 1, "threshold_start": 2, "path": path,
    }  # fmt: skip
    if case.moments is not None:
        settings["moments"] = case.moments
    recipe = Recipe(**settings)
    parameters = ready(initial(recipe, first_BLD.flatten(1), case.seed), recipe)
    silent_F = torch.zeros(case.latents, dtype=torch.int64, device=case.device)
    return State(
        parameters, no_moments(parameters, recipe.moments), silent_F, threshold=None, step=0, curves=[]
    ), recipe


def published(case: Case, first_BLD: Tensor, precision: str = "highest") -> Steps:
    """The published trainer's work, fp32; "high" lets a GPU multiply in TF32."""
    trainer = PublishedTrainer(case.models, case.width, case.latents, case.k, case.lr, case.device, case.seed)

    def steps(batches: list[Tensor]) -> None:
        with matmul_precision(precision):
            for x_BLD in batches:
                trainer.step(x_BLD)

    return steps


def encoder_product(case: Case, first_BLD: Tensor) -> Steps:
    """The encoder product as a step has to make it: input and weights cast to bf16, one product, bf16 out."""
    encoder_FI, bias_F = weights(case)
    kind = torch.bfloat16

    def steps(batches: list[Tensor]) -> None:
        for x_BLD in batches:
            linear(x_BLD.flatten(1).to(kind), encoder_FI.to(kind), bias_F.to(kind))

    return steps


def bare_product(case: Case, first_BLD: Tensor) -> Steps:
    """The same product of tensors that are bf16 already: the physical limit."""
    encoder_FI, bias_F = (tensor.to(torch.bfloat16) for tensor in weights(case))
    x_BI = first_BLD.flatten(1).to(torch.bfloat16)

    def steps(batches: list[Tensor]) -> None:
        for _ in batches:
            linear(x_BI, encoder_FI, bias_F)

    return steps


def weights(case: Case) -> tuple[Tensor, Tensor]:
    """Encoder [F, I] and bias [F], fp32."""
    generator = torch.Generator().manual_seed(case.seed)
    encoder_FI = torch.randn(case.latents, case.models * case.width, generator=generator) / case.width**0.5
    return encoder_FI.to(case.device), torch.zeros(case.latents, device=case.device)


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Float32 products in this precision for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
