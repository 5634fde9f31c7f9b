"""Data with known latents, small recipes, and a plain NumPy dictionary, for the tests of dictionaries."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.recipe import Recipe

CASES = [
    (kind, sparsity) for kind in ("crosscoder", "diff-sae", "chat-sae", "base-sae") for sparsity in ("batchtopk", "l1")
] + [("crosscoder", "decoupled")]


def small(kind: str = "crosscoder", sparsity: str = "batchtopk", **over: Any) -> Recipe:
    """A recipe for tests: 24 latents, 60 steps of 64 tokens, fp32; ``decoupled`` is BatchTopK with that score."""
    if sparsity == "decoupled":
        sparsity, over = "batchtopk", {"score": "decoupled"} | over
    settings: dict[str, Any] = {
        "kind": kind, "sparsity": sparsity, "latents": 24, "k": 3, "l1": 0.05, "steps": 60, "batch": 64, "lr": 1e-2,
        "warmup_steps": 5, "threshold_start": 10, "threshold_decay": 0.9, "dead_after_tokens": 1000,
        "matmul": "float32", "log_every": 10, "checkpoint_every": 20,
    }  # fmt: skip
    return Recipe(**(settings | over))


class Planted:
    """x = Σ_j f_j d_j + noise, each token with a few of ``latents`` unit directions [L, latents, D]."""

    def __init__(self, models: int = 2, width: int = 20, latents: int = 12, share: float = 0.15, noise: float = 0.02):
        generator = torch.Generator().manual_seed(7)
        directions = torch.randn(models, latents, width, generator=generator)
        self.directions = directions / directions.norm(dim=2, keepdim=True)
        self.share, self.noise = share, noise

    def batch(self, tokens: int, seed: int) -> Tensor:
        """[tokens, L, D] fp32."""
        generator = torch.Generator().manual_seed(seed)
        models, latents, width = self.directions.shape
        on = torch.rand(tokens, latents, generator=generator) < self.share
        code = on * (1 + torch.rand(tokens, latents, generator=generator))
        noise = self.noise * torch.randn(tokens, models, width, generator=generator)
        return 3 * (torch.einsum("bf,lfd->bld", code, self.directions) + noise) + 1

    def batches(self, tokens: int) -> Callable[[int], Iterator[Tensor]]:
        """Endless batches from any step on, the same for a step however it is reached."""

        def stream(start: int) -> Iterator[Tensor]:
            step = start
            while True:
                yield self.batch(tokens, 1000 + step)
                step += 1

        return stream


def numpy_encode(dictionary: Dictionary, x_BLD: Tensor) -> np.ndarray:
    """f [B, F] by plain loops over models, in float64."""
    d = {name: tensor.double().numpy() for name, tensor in dictionary.tensors.items()}
    x = (x_BLD.double().numpy() - d["mean"]) * d["scale"]
    pre = sum(x[:, m] @ d["encoder"][m] for m in range(x.shape[1])) + d["encoder_bias"]
    f = np.maximum(pre, 0)
    norms = np.sqrt((d["decoder"] ** 2).sum(-1))
    weight = {"sum": norms.sum(0), "concat": np.sqrt((norms**2).sum(0)), "none": np.ones(f.shape[1])}
    if dictionary.score == "decoupled":
        return f * numpy_taken(dictionary, f).any(0)
    weight["mixed"] = weight["concat"] + 0.1 * weight["sum"]
    weight = weight[dictionary.score]
    return f * (f * weight > d["threshold"])


def numpy_decode(dictionary: Dictionary, f_BF: np.ndarray) -> np.ndarray:
    """x̂ [B, L, D] in raw units, in float64."""
    d = {name: tensor.double().numpy() for name, tensor in dictionary.tensors.items()}
    models = range(len(d["decoder"]))
    own = f_BF * numpy_taken(dictionary, f_BF) if dictionary.score == "decoupled" else [f_BF for _ in models]
    rows = [own[m] @ d["decoder"][m] + d["decoder_bias"][m] for m in models]
    return np.stack(rows, 1) / d["scale"] + d["mean"]


def numpy_taken(dictionary: Dictionary, f_BF: np.ndarray) -> np.ndarray:
    """Where each model's own score f·‖d‖ of decoupled codes exceeds its θ, [L, B, F]."""
    norms = np.sqrt((dictionary.decoder.double().numpy() ** 2).sum(-1))
    return np.stack([f_BF * norm > level for norm, level in zip(norms, dictionary.threshold.tolist(), strict=True)])
