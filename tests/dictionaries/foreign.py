"""Files of other people's formats from random weights, each beside a forward written from the format's definition.

The forwards are plain NumPy in float64 and share nothing with the importers.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

Array = np.ndarray
State = dict[str, Tensor]


@dataclass
class Foreign:
    """A dictionary in somebody's format."""

    format: str
    models: int
    tensors: State
    settings: dict[str, Any]
    files: tuple[str, str]
    """Names of weights and settings."""
    encode: Callable[[Array], tuple[Array, Array]]
    """x [B, L, D] -> codes as the decoder sums them [B, F], and how far each score is from its level [B, F]."""
    decode: Callable[[Array], Array]
    """Those codes -> x̂ [B, L, D]."""

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / self.files[0]
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        if file.suffix == ".pt":
            torch.save(tensors, file)
        else:
            save_file(tensors, file)
        (folder / self.files[1]).write_text(json.dumps(self.settings))
        return folder


def numpy(tensors: State) -> dict[str, Array]:
    return {name: tensor.double().numpy() for name, tensor in tensors.items()}


def kept(pre: Array, score: Array, level: Array | float) -> tuple[Array, Array]:
    """ReLU codes whose score is above the level, and the distance from it."""
    return np.maximum(pre, 0) * (score > level), np.minimum(np.abs(score - level), np.abs(pre))


def row_topk(pre: Array, score: Array, k: int) -> tuple[Array, Array]:
    """ReLU codes of each row's k largest scores."""
    f, margin = np.zeros_like(pre), np.full_like(pre, np.inf)
    for row in range(len(pre)):
        order = np.argsort(-score[row])
        chosen = order[:k]
        f[row, chosen] = np.maximum(pre[row, chosen], 0)
        if k < pre.shape[1]:
            margin[row] = np.abs(score[row] - (score[row][order[k - 1]] + score[row][order[k]]) / 2)
    return f, np.minimum(margin, np.abs(pre))


class Draw:
    """Random tensors."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def positive(self, *shape: int) -> Tensor:
        return 0.2 + torch.rand(*shape, generator=self.generator)


CODE_IDS = {"crosscoder": 1, "SAE": 2, "mixed": 3, "NONE": 4, "decoupled": 5}


def norms(code: str, decoder: Array, alphas: tuple[float, float] = (1.0, 0.1)) -> Array:
    """Code normalisation of a crosscoder from its decoder [L, F, D]."""
    summed = sum(np.sqrt((layer**2).sum(1)) for layer in decoder)
    joint = np.sqrt(sum((layer**2).sum(1) for layer in decoder))
    table = {"crosscoder": summed, "SAE": joint, "mixed": alphas[0] * joint + alphas[1] * summed}
    return table.get(code, np.ones(decoder.shape[1]))


def finetuning_crosscoder(
    width: int, latents: int, seed: int, code: str = "crosscoder", topk: bool = True, normalised: bool = True,
    old: bool = False, local: bool = False, alphas: tuple[float, float] = (0.7, 0.4),
) -> Foreign:  # fmt: skip
    draw = Draw(seed)
    tensors = {
        "encoder.weight": draw(2, width, latents), "encoder.bias": draw(latents),
        "decoder.weight": draw(2, latents, width), "decoder.bias": draw(2, width),
    }  # fmt: skip
    settings: dict[str, Any] = {"activation_dim": width, "dict_size": latents, "num_layers": 2}
    if not old:
        std = draw.positive(2, width) if normalised else torch.full((2, width), torch.nan)
        mean = draw(2, width) if normalised else torch.full((2, width), torch.nan)
        target = torch.tensor(3.0)
        scale = target / (std.square().sum(1) + 1e-8).sqrt() if normalised else torch.ones(2)
        tensors |= {"activation_mean": mean, "activation_std": std, "activation_global_scale": scale}
        tensors |= {"target_rms": target, "code_normalization_id": torch.tensor(CODE_IDS[code])}
        settings |= {"code_normalization": code, "activation_mean": None, "target_rms": 3.0}
        if alphas != (1.0, 0.1):  # what they are by default is not told
            settings |= {"code_normalization_alpha_sae": alphas[0], "code_normalization_alpha_cc": alphas[1]}
    if topk:
        tensors |= {"k": torch.tensor(3, dtype=torch.int32), "threshold": torch.tensor(1.1)}
        if code == "decoupled":
            tensors["threshold"] = torch.tensor([1.1, 0.8])
    t = numpy(tensors)
    active = normalised and not old
    weight = norms(code, t["decoder.weight"], alphas)
    own, levels = np.sqrt((t["decoder.weight"] ** 2).sum(2)), np.array([1.1, 0.8])

    def taken(f: Array) -> Array:
        return f * own[:, None] > levels[:, None, None]

    def encode(x: Array) -> tuple[Array, Array]:
        if active:
            x = np.stack([(x[:, m] - t["activation_mean"][m]) * t["activation_global_scale"][m] for m in (0, 1)], 1)
        pre = sum(x[:, m] @ t["encoder.weight"][m] for m in (0, 1)) + t["encoder.bias"]
        if code == "decoupled" and topk:
            scores = np.maximum(pre, 0) * own[:, None]
            margins = np.abs(scores - levels[:, None, None]).min(0)
            return np.maximum(pre, 0) * taken(np.maximum(pre, 0)).any(0), np.minimum(margins, np.abs(pre))
        return kept(pre, np.maximum(pre, 0) * weight, 1.1 if topk else 0.0)

    def decode(f: Array) -> Array:
        each = f * taken(f) if code == "decoupled" and topk else [f, f]
        out = np.stack([each[m] @ t["decoder.weight"][m] + t["decoder.bias"][m] for m in (0, 1)], 1)
        if active:
            back = [out[:, m] / t["activation_global_scale"][m] + t["activation_mean"][m] for m in (0, 1)]
            return np.stack(back, 1)
        return out

    files = ("model_final.pt" if local else "model.safetensors", "config.json")
    if local:
        tensors = {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}
        settings = {"trainer": settings | {"dict_class": "BatchTopKCrossCoder" if topk else "CrossCoder"}}
    return Foreign("science-of-finetuning", 2, tensors, settings, files, encode, decode)


def finetuning_sae(width: int, latents: int, seed: int, normalised: bool = True, old: bool = False) -> Foreign:
    draw = Draw(seed)
    tensors = {
        "encoder.weight": draw(latents, width), "encoder.bias": draw(latents), "decoder.weight": draw(width, latents),
        "b_dec": draw(width), "k": torch.tensor(4, dtype=torch.int32), "threshold": torch.tensor(0.6),
    }  # fmt: skip
    if not old:
        std = draw.positive(width) if normalised else torch.full((width,), torch.nan)
        mean = draw(width) if normalised else torch.full((width,), torch.nan)
        scale = 3.0 / (std.square().sum() + 1e-8).sqrt() if normalised else torch.tensor(torch.nan)
        tensors |= {"activation_mean": mean, "activation_std": std, "activation_global_scale": scale}
        tensors |= {"target_rms": torch.tensor(3.0)}
    t = numpy(tensors)
    active = normalised and not old

    def encode(x: Array) -> tuple[Array, Array]:
        x = x[:, 0]
        if active:
            x = (x - t["activation_mean"]) * t["activation_global_scale"]
        pre = (x - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]
        return kept(pre, pre, 0.6)

    def decode(f: Array) -> Array:
        out = f @ t["decoder.weight"].T + t["b_dec"]
        if active:
            out = out / t["activation_global_scale"] + t["activation_mean"]
        return out[:, None]

    settings = {"activation_dim": width, "dict_size": latents, "k": 4, "dict_class": "BatchTopKSAE"}
    files = ("model.safetensors", "config.json")
    return Foreign("science-of-finetuning", 1, tensors, settings, files, encode, decode)


def kissane(width: int, latents: int, seed: int, scales: tuple[float, float] | None = (0.3, 0.2)) -> Foreign:
    """Its forward takes activations already scaled; here it scales them, as its users have to."""
    draw = Draw(seed)
    tensors = {
        "W_enc": draw(2, width, latents), "b_enc": draw(latents), "W_dec": draw(latents, 2, width),
        "b_dec": draw(2, width),
    }  # fmt: skip
    t, factors = numpy(tensors), np.float32(scales or (1.0, 1.0)).astype(float)

    def encode(x: Array) -> tuple[Array, Array]:
        pre = np.einsum("bmd,mdf->bf", x * factors[:, None], t["W_enc"]) + t["b_enc"]
        return kept(pre, pre, 0.0)

    def decode(f: Array) -> Array:
        return (np.einsum("bf,fmd->bmd", f, t["W_dec"]) + t["b_dec"]) / factors[:, None]

    settings: dict[str, Any] = {"d_in": width, "dict_size": latents, "hook_point": "blocks.4.hook_resid_pre"}
    return Foreign("ckkissane", 2, tensors, settings, ("cc_weights.pt", "cfg.json"), encode, decode)
