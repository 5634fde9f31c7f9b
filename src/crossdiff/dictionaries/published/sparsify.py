"""sparsify: TopK SAEs, `sae.safetensors` with `cfg.json`, one folder a hookpoint.

The encoder sees x − b_dec; of the positive pre-activations the k largest of a token count. W_dec is stored [F, D]
already. Transcoders and skip connections predict another place of the model from this one: refused.

Shapes: D width, F latents.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.published.files import agree, checked, count, read_json, read_tensors, shape_of
from crossdiff.dictionaries.published.plain import PlainSAE, plain
from crossdiff.dictionaries.recipe import Kind
from crossdiff.errors import UserError
from crossdiff.provenance.files import whole

NAME = "sparsify"
FILES: tuple[str, ...] = ("sae.safetensors",)


def read(file: Path, kind: Kind) -> Dictionary:
    """The SAE in a weight file with its cfg.json."""
    config = file.with_name("cfg.json")
    settings, tensors = read_json(config), read_tensors(file)
    for key in ("transcode", "skip_connection"):
        if settings.get(key):
            raise UserError(f"{config}: {key} is true; a transcoder does not reconstruct the stream it reads")
    if settings.get("activation", "topk") != "topk":
        raise UserError(f"{config}: activation {settings['activation']!r} is not supported, only topk")
    latents, width = shape_of(tensors, "encoder.weight", 2, file)
    shapes = {"encoder.weight": (latents, width), "encoder.bias": (latents,), "W_dec": (latents, width)}
    found = checked(tensors, shapes | {"b_dec": (width,)}, file)
    agree(settings, {"d_in": width}, config, file)
    if settings.get("num_latents"):
        agree(settings, {"num_latents": latents}, config, file)
    k = count(settings, "k", config)
    sae = PlainSAE(
        encoder_DF=found["encoder.weight"].T,
        encoder_bias_F=found["encoder.bias"],
        decoder_FD=found["W_dec"],
        b_dec_D=found["b_dec"],
        threshold=torch.zeros(()),
        centred=True,
        k=k,
    )
    hook = file.parent.name if file.parent.name.startswith("layers.") else None
    return sae.dictionary(kind, {"published": {"format": NAME, "class": "SparseCoder", "hook": hook, "k": k}})


def write(dictionary: Dictionary, folder: Path) -> None:
    """sae.safetensors and cfg.json; UserError if it is not a TopK SAE."""
    sae = plain(dictionary, NAME).moved(centred=True)
    if sae.k is None or sae.score != "none" or bool((sae.threshold != 0).any()):
        raise UserError(f"{NAME} holds TopK SAEs that rank bare codes; export others as dictionary_learning or saelens")
    latents, width = sae.decoder_FD.shape
    tensors = {
        "encoder.weight": sae.encoder_DF.T,
        "encoder.bias": sae.encoder_bias_F,
        "W_dec": sae.decoder_FD,
        "b_dec": sae.b_dec_D,
    }
    settings = {
        "activation": "topk",
        "expansion_factor": max(1, latents // width),
        "normalize_decoder": True,
        "num_latents": latents,
        "k": sae.k,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": width,
    }
    with whole(folder / "sae.safetensors") as temporary:
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, temporary)
    with whole(folder / "cfg.json") as temporary:
        temporary.write_text(json.dumps(settings) + "\n")
