"""SAELens: `sae_weights.safetensors` with `cfg.json`, of version 6 and of the flat configs before it.

The encoder sees x − b_dec if `apply_b_dec_to_input`, which was the default before it was a key. BatchTopK was exported
by its makers as jumprelu; with `rescale_acts_by_decoder_norm` TopK ranks codes times their decoder norm. Gated becomes
a jumprelu, see `dictionary_learning`. Activations that are normalised token by token are no affine map: refused.

Shapes: D width, F latents.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.published.files import (
    agree,
    checked,
    count,
    one_if_equal,
    read_json,
    read_tensors,
    shape_of,
)
from crossdiff.dictionaries.published.plain import PlainSAE, plain
from crossdiff.dictionaries.recipe import Kind
from crossdiff.errors import UserError
from crossdiff.provenance.files import whole

NAME = "saelens"
FILES: tuple[str, ...] = ("sae_weights.safetensors",)
OF_ARCHITECTURE = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
"""Vectors [F] of each architecture, beside W_enc, W_dec and b_dec."""


def read(file: Path, kind: Kind) -> Dictionary:
    """The SAE in a weight file with its cfg.json."""
    config = file.with_name("cfg.json")
    settings, tensors = read_json(config), read_tensors(file)
    architecture = _architecture(settings, config)
    width, latents = shape_of(tensors, "W_enc", 2, file)
    shapes = {"W_enc": (width, latents), "W_dec": (latents, width), "b_dec": (width,)}
    found = checked(tensors, shapes | dict.fromkeys(OF_ARCHITECTURE[architecture], (latents,)), file)
    agree(settings, {"d_in": width, "d_sae": latents}, config, file)
    hook = (settings.get("metadata") or settings.get("meta") or settings).get("hook_name") or settings.get("hook_point")
    about: dict[str, Any] = {"format": NAME, "class": architecture, "hook": hook}
    centred = settings.get("apply_b_dec_to_input", True) is not False
    k, score = None, "none"
    if architecture == "topk":
        about["k"] = k = count(settings | (settings.get("activation_fn_kwargs") or {}), "k", config)
        score = "sum" if settings.get("rescale_acts_by_decoder_norm") else "none"
    encoder_DF, bias_F, threshold = _encoder(found)
    sae = PlainSAE(encoder_DF, bias_F, found["W_dec"], found["b_dec"], threshold, centred, k, score)
    return sae.dictionary(kind, {"published": about})


def _architecture(settings: dict[str, Any], config: Path) -> str:
    """Name of the architecture; UserError for what cannot be one affine encoder with a threshold or a TopK."""
    architecture = settings.get("architecture") or "standard"
    if architecture == "standard" and settings.get("activation_fn_str", "relu") != "relu":
        architecture = str(settings["activation_fn_str"])
    if architecture not in OF_ARCHITECTURE:
        raise UserError(
            f"{config}: architecture {architecture!r} is not supported; known are {', '.join(OF_ARCHITECTURE)}"
        )
    if settings.get("normalize_activations", "none") not in ("none", False, None):
        raise UserError(
            f"{config}: normalize_activations is {settings['normalize_activations']!r}; only none can be used: fold the"
            " factor into the weights first (fold_activation_norm_scaling_factor), where it is one"
        )
    if settings.get("reshape_activations", "none") not in ("none", None) or settings.get("finetuning_scaling_factor"):
        raise UserError(f"{config}: reshape_activations and finetuning_scaling_factor are not supported")
    return architecture


def _encoder(found: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """(W [D, F], b [F], θ) of any architecture."""
    if "b_gate" in found:
        gain_F = found["r_mag"].exp()
        threshold_F = found["b_mag"] - gain_F * found["b_gate"]
        return found["W_enc"] * gain_F, found["b_mag"], one_if_equal(threshold_F)
    threshold = one_if_equal(found["threshold"]) if "threshold" in found else torch.zeros(())
    return found["W_enc"], found["b_enc"], threshold


def write(dictionary: Dictionary, folder: Path) -> None:
    """sae_weights.safetensors and cfg.json of version 6: standard, topk or jumprelu."""
    sae = plain(dictionary, NAME)
    latents, width = sae.decoder_FD.shape
    tensors = {"W_enc": sae.encoder_DF, "b_enc": sae.encoder_bias_F, "W_dec": sae.decoder_FD, "b_dec": sae.b_dec_D}
    architecture, more = "standard", {}
    if sae.k is not None:
        if bool((sae.threshold != 0).any()):
            raise UserError(f"{NAME} has no TopK with a threshold")
        architecture, more = "topk", {"k": sae.k, "rescale_acts_by_decoder_norm": sae.score != "none"}
    elif bool((sae.threshold != 0).any()):
        architecture = "jumprelu"
        tensors["threshold"] = sae.threshold_F()
    layer = dictionary.about.get("layer")
    hook = (dictionary.about.get("published") or {}).get("hook")
    settings = {
        "d_in": width,
        "d_sae": latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.centred,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "architecture": architecture,
        **more,
        "metadata": {"hook_name": hook if layer is None else f"blocks.{layer}.hook_resid_post"},
    }
    with whole(folder / "sae_weights.safetensors") as temporary:
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, temporary)
    with whole(folder / "cfg.json") as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")
