"""ckkissane: L1 crosscoders of the model-diff replication, `cc_weights.pt` with `cfg.json`.

They were trained on activations times √D / mean norm, one factor for each model, which the files do not keep: whoever
imports gives them, or has them fitted. A dictionary exported from here keeps its factors in cfg.json, a key that their
code ignores: as with their own, the activations are to be scaled before the weights see them.

Shapes: L models, D width, F latents.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.published.files import (
    agree,
    checked,
    one_if_equal,
    read_json,
    read_tensors,
    shape_of,
)
from crossdiff.dictionaries.recipe import Kind
from crossdiff.errors import UserError
from crossdiff.provenance.files import whole

NAME = "ckkissane"
FILES: tuple[str, ...] = ("cc_weights.pt", "[0-9]*.pt")
SCALES = "activation_scales"


def read(file: Path, kind: Kind) -> Dictionary:
    """The crosscoder in a weight file with its cfg.json (N.pt: N_cfg.json); without scales unless cfg.json has them."""
    config = file.with_name("cfg.json" if file.name == FILES[0] else f"{file.stem}_cfg.json")
    settings, tensors = read_json(config), read_tensors(file)
    if kind != "crosscoder":
        raise UserError(f"kind: {file} holds a crosscoder; a {kind} was asked for")
    models, width, latents = shape_of(tensors, "W_enc", 3, file)
    if models != 2:
        raise UserError(f"{file}: W_enc is of {models} models; a pair has two, base and chat")
    agree(settings, {"d_in": width, "dict_size": latents}, config, file)
    shapes = {"W_enc": (2, width, latents), "b_enc": (latents,), "W_dec": (latents, 2, width), "b_dec": (2, width)}
    found = checked(tensors, shapes, file)
    scales = settings.get(SCALES)
    about: dict[str, Any] = {"format": NAME, "class": "CrossCoder", "hook": settings.get("hook_point")}
    return Dictionary(
        kind="crosscoder",
        score="sum",
        encoder=found["W_enc"],
        encoder_bias=found["b_enc"],
        decoder=found["W_dec"].transpose(0, 1).contiguous(),
        decoder_bias=found["b_dec"],
        threshold=torch.zeros(()),
        mean=torch.zeros(2, width),
        scale=torch.ones(()) if scales is None else scale(scales, str(config)),
        about={"published": about | {"unscaled": scales is None}},
    )


def scale(factors: Any, where: str) -> Tensor:
    """Two factors as the scale of a dictionary: [] if they are the same, else [2, 1]; UserError if they are no such."""
    if not (isinstance(factors, list | tuple) and len(factors) == 2 and all(f > 0 for f in factors)):
        raise UserError(f"{where}: {SCALES} must be two positive numbers, of base and chat, got {factors!r}")
    shared = one_if_equal(torch.tensor(factors, dtype=torch.float32))
    return shared if shared.ndim == 0 else shared[:, None]


def write(dictionary: Dictionary, folder: Path) -> None:
    """cc_weights.pt and cfg.json; a mean is folded into the biases (in fp64). UserError names what has no place."""
    models, width, latents = dictionary.shape
    if models != 2:
        raise UserError(f"{NAME} holds crosscoders; export an SAE as dictionary_learning, saelens or sparsify")
    if dictionary.k is not None or bool((dictionary.threshold != 0).any()):
        raise UserError(f"{NAME} holds ReLU crosscoders without a threshold; export this one as science-of-finetuning")
    if dictionary.score != "sum":
        raise UserError(
            f"{NAME} weighs codes by the sum of their decoder norms, not by {dictionary.score};"
            " export this one as science-of-finetuning"
        )
    encoder_bias, decoder_bias = dictionary.encoder_bias, dictionary.decoder_bias
    if bool(dictionary.mean.any()):
        shift = (dictionary.mean * dictionary.scale).double()
        encoder_bias = (encoder_bias - torch.einsum("ld,ldf->f", shift, dictionary.encoder.double())).float()
        decoder_bias = (decoder_bias + shift).float()
    tensors = {"W_enc": dictionary.encoder, "b_enc": encoder_bias, "W_dec": dictionary.decoder.transpose(0, 1)}
    tensors |= {"b_dec": decoder_bias}
    scales = dictionary.scale.flatten().expand(2).tolist()
    hook = (dictionary.about.get("published") or {}).get("hook") or hook_pre(dictionary.about.get("layer"))
    settings = {"d_in": width, "dict_size": latents, "enc_dtype": "fp32", "hook_point": hook, SCALES: scales}
    with whole(folder / "cc_weights.pt") as temporary:
        torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
    with whole(folder / "cfg.json") as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")


def hook_pre(layer: int | None) -> str | None:
    """Name of a site in this format: the input of the next block."""
    return None if layer is None else f"blocks.{layer + 1}.hook_resid_pre"
