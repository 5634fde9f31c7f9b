"""Files of the SAE packages from random weights, as in `foreign`."""

from typing import Any

import numpy as np
import torch
from foreign import Array, Draw, Foreign, kept, numpy, row_topk


def dictionary_learning(name: str, width: int, latents: int, seed: int, k: int = 2) -> Foreign:
    draw = Draw(seed)
    matrices = name in ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE")
    if matrices:
        tensors = {"W_enc": draw(width, latents), "b_enc": draw(latents), "W_dec": draw(latents, width)}
    else:
        tensors = {"encoder.weight": draw(latents, width), "decoder.weight": draw(width, latents)}
        tensors |= {} if name == "GatedAutoEncoder" else {"encoder.bias": draw(latents)}
    bias = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias", "GatedAutoEncoder": "decoder_bias"}
    b = bias.get(name, "b_dec")
    tensors[b] = draw(width)
    if name == "GatedAutoEncoder":
        tensors |= {"r_mag": 0.5 * draw(latents), "gate_bias": draw(latents), "mag_bias": draw(latents)}
    if name in ("AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        level = -1.0 if name == "AutoEncoderTopK" else 0.5
        tensors |= {"k": torch.tensor(k, dtype=torch.int32), "threshold": torch.tensor(level)}
    if name == "MatryoshkaBatchTopKSAE":
        tensors["group_sizes"] = torch.tensor([1, latents - 1])
    if name == "JumpReluAutoEncoder":
        tensors["threshold"] = 0.5 * draw(latents)
    t = numpy(tensors)
    into = t["W_enc"] if matrices else t["encoder.weight"].T
    out_of = t["W_dec"] if matrices else t["decoder.weight"].T

    def encode(x: Array) -> tuple[Array, Array]:
        x = x[:, 0] if name in ("JumpReluAutoEncoder", "AutoEncoderNew") else x[:, 0] - t[b]
        if name == "GatedAutoEncoder":
            gate = x @ into + t["gate_bias"]
            value = np.exp(t["r_mag"]) * (x @ into) + t["mag_bias"]
            return (gate > 0) * np.maximum(value, 0), np.minimum(np.abs(gate), np.abs(value))
        pre = x @ into + t["b_enc" if matrices else "encoder.bias"]
        if name == "AutoEncoderTopK":
            return row_topk(pre, np.maximum(pre, 0), k)
        return kept(pre, pre, t.get("threshold", 0.0))

    def decode(f: Array) -> Array:
        return (f @ out_of + t[b])[:, None]

    trainer = {"dict_class": name, "activation_dim": width, "dict_size": latents, "layer": 3}
    trainer |= {"submodule_name": "resid_post_layer_3"}
    settings = {"trainer": trainer, "buffer": {"ctx_len": 128}}
    return Foreign("dictionary_learning", 1, tensors, settings, ("ae.pt", "config.json"), encode, decode)


def saelens(
    architecture: str,
    width: int,
    latents: int,
    seed: int,
    subtract: bool = True,
    rescale: bool = False,
    old: bool = False,
) -> Foreign:
    draw, k = Draw(seed), 2
    tensors = {"W_enc": draw(width, latents), "W_dec": draw(latents, width), "b_dec": draw(width)}
    if architecture == "gated":
        tensors |= {"b_gate": draw(latents), "b_mag": draw(latents), "r_mag": 0.5 * draw(latents)}
    else:
        tensors["b_enc"] = draw(latents)
    if architecture == "jumprelu":
        tensors["threshold"] = draw.positive(latents)
    t = numpy(tensors)
    norm = np.sqrt((t["W_dec"] ** 2).sum(1)) if rescale else np.ones(latents)

    def encode(x: Array) -> tuple[Array, Array]:
        x = x[:, 0] - t["b_dec"] * subtract
        if architecture == "gated":
            gate = x @ t["W_enc"] + t["b_gate"]
            value = x @ (t["W_enc"] * np.exp(t["r_mag"])) + t["b_mag"]
            return (gate > 0) * np.maximum(value, 0), np.minimum(np.abs(gate), np.abs(value))
        pre = x @ t["W_enc"] + t["b_enc"]
        if architecture == "topk":
            return row_topk(pre, pre * norm, k)
        return kept(pre, pre, t.get("threshold", 0.0))

    def decode(f: Array) -> Array:
        return (f @ t["W_dec"] + t["b_dec"])[:, None]

    settings: dict[str, Any] = {"d_in": width, "d_sae": latents, "apply_b_dec_to_input": subtract, "dtype": "float32"}
    settings |= {"normalize_activations": "none"}
    if old:
        settings |= {"hook_point": "blocks.3.hook_resid_post", "finetuning_scaling_factor": False}
        settings |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": k}} if architecture == "topk" else {}
        settings |= {} if architecture == "topk" else {"architecture": architecture, "activation_fn_str": "relu"}
    else:
        settings |= {"architecture": architecture, "reshape_activations": "none"}
        settings |= {"metadata": {"hook_name": "blocks.3.hook_resid_post"}}
        settings |= {"k": k, "rescale_acts_by_decoder_norm": rescale} if architecture == "topk" else {}
    return Foreign("saelens", 1, tensors, settings, ("sae_weights.safetensors", "cfg.json"), encode, decode)


def sparsify(width: int, latents: int, seed: int, counted: bool = True) -> Foreign:
    draw = Draw(seed)
    tensors = {"encoder.weight": draw(latents, width), "encoder.bias": draw(latents), "W_dec": draw(latents, width)}
    tensors["b_dec"] = draw(width)
    t = numpy(tensors)

    def encode(x: Array) -> tuple[Array, Array]:
        pre = (x[:, 0] - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]
        return row_topk(pre, np.maximum(pre, 0), 2)

    def decode(f: Array) -> Array:
        return (f @ t["W_dec"] + t["b_dec"])[:, None]

    settings = {"d_in": width, "k": 2, "num_latents": latents if counted else 0, "expansion_factor": 32}
    settings |= {"normalize_decoder": True, "multi_topk": False, "skip_connection": False, "transcode": False}
    return Foreign("sparsify", 1, tensors, settings, ("sae.safetensors", "cfg.json"), encode, decode)
