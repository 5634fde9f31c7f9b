"""dictionary_learning: `ae.pt` with `config.json`, seven classes of SAE.

TopK and BatchTopK classes and AutoEncoder subtract their bias before encoding; JumpReLU and AutoEncoderNew do not.
JumpReLU and Gated multiply codes by the decoder norm on the way out and divide by it on the way in; the codes here are
without it. Gated becomes a JumpReLU: with e = exp(r_mag) > 0 the gate x·W + gate_bias > 0 is
e·x·W + mag_bias > mag_bias − e·gate_bias. (package dictionary_learning 0.1)

Shapes: D width, F latents.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.published.files import agree, checked, one_if_equal, read_json, read_tensors, shape_of
from crossdiff.dictionaries.published.plain import PlainSAE, k_of, plain
from crossdiff.dictionaries.recipe import Kind
from crossdiff.errors import UserError
from crossdiff.provenance.files import whole

NAME = "dictionary_learning"
FILES: tuple[str, ...] = ("ae.pt", "ae_*.pt")
LINEAR = {"encoder.weight": "FD", "encoder.bias": "F", "decoder.weight": "DF"}
MATRICES = {"W_enc": "DF", "b_enc": "F", "W_dec": "FD", "b_dec": "D"}
CLASSES: dict[str, dict[str, str]] = {
    "AutoEncoder": LINEAR | {"bias": "D"},
    "AutoEncoderNew": LINEAR | {"decoder.bias": "D"},
    "GatedAutoEncoder": {"encoder.weight": "FD", "decoder.weight": "DF", "decoder_bias": "D"}
    | {"r_mag": "F", "gate_bias": "F", "mag_bias": "F"},
    "JumpReluAutoEncoder": MATRICES | {"threshold": "F"},
    "AutoEncoderTopK": LINEAR | {"b_dec": "D", "k": "", "threshold": ""},
    "BatchTopKSAE": LINEAR | {"b_dec": "D", "k": "", "threshold": ""},
    "MatryoshkaBatchTopKSAE": MATRICES | {"k": "", "threshold": "", "group_sizes": "G"},
}
"""Tensors of each class, and their shapes in letters."""


def read(file: Path, kind: Kind) -> Dictionary:
    """The SAE in a state dict; its class is told by config.json, one directory up for a checkpoint."""
    config = file.with_name("config.json")
    if not config.is_file() and file.parent.name == "checkpoints":
        config = file.parent.parent / "config.json"
    settings = read_json(config).get("trainer")
    if not isinstance(settings, dict):
        raise UserError(f"{config} has no `trainer`, which tells the class of the dictionary")
    name = settings.get("dict_class")
    if name not in CLASSES:
        raise UserError(f"{config}: dict_class {name!r} is not supported; known are {', '.join(CLASSES)}")
    tensors = read_tensors(file)
    layout = CLASSES[name]
    first, second = shape_of(tensors, *(("W_enc", 2) if "W_enc" in layout else ("encoder.weight", 2)), file)
    sizes = {"D": first, "F": second} if "W_enc" in layout else {"F": first, "D": second}
    sizes["G"] = tensors["group_sizes"].numel() if "group_sizes" in tensors else 0
    if name == "AutoEncoderTopK" and "threshold" not in tensors:  # before it was a buffer
        layout = {key: letters for key, letters in layout.items() if key != "threshold"}
    found = checked(tensors, {key: tuple(sizes[s] for s in letters) for key, letters in layout.items()}, file)
    agree(settings, {"activation_dim": sizes["D"], "dict_size": sizes["F"]}, config, file)
    if "group_sizes" in found and int(found["group_sizes"].sum()) != sizes["F"]:
        raise UserError(f"{file}: group_sizes add up to {int(found['group_sizes'].sum())}, not to {sizes['F']} latents")
    about = {"format": NAME, "class": name, "hook": _hook(settings)}
    if "k" in found:
        about["k"] = int(found["k"])
    return _sae(name, found, file).dictionary(kind, {"published": about})


def _hook(settings: dict[str, Any]) -> str | None:
    """Where the SAE was trained, if the config says that it was on the residual stream: by layer."""
    layer, name = settings.get("layer"), str(settings.get("submodule_name") or "")
    return f"layers.{layer}" if isinstance(layer, int) and name.startswith("resid_post") else None


def _sae(name: str, found: dict[str, Tensor], file: Path) -> PlainSAE:
    zero = torch.zeros(())
    if name == "GatedAutoEncoder":
        return _gated(found)
    if "W_enc" in found:
        parts = (found["W_enc"], found["b_enc"], found["W_dec"], found["b_dec"])
        if name == "JumpReluAutoEncoder":
            return PlainSAE(*parts, one_if_equal(found["threshold"]), centred=False)
        return PlainSAE(*parts, _measured(found, file), centred=True)
    weights = (found["encoder.weight"].T, found["encoder.bias"], found["decoder.weight"].T)
    if name == "AutoEncoder":
        return PlainSAE(*weights, found["bias"], zero, centred=True)
    if name == "AutoEncoderNew":
        return PlainSAE(*weights, found["decoder.bias"], zero, centred=False)
    if name == "AutoEncoderTopK":
        return PlainSAE(*weights, found["b_dec"], zero, centred=True, k=int(found["k"]))
    return PlainSAE(*weights, found["b_dec"], _measured(found, file), centred=True)


def _measured(found: dict[str, Tensor], file: Path) -> Tensor:
    if bool(found["threshold"] < 0):
        raise UserError(
            f"{file}: threshold was never set ({found['threshold'].item():g}), so every positive activation would"
            " count; take a checkpoint of a later step"
        )
    return found["threshold"]


def _gated(found: dict[str, Tensor]) -> PlainSAE:
    """As a JumpReLU without subtraction: the form in which it can be exported again without losing a bit."""
    gain_F = found["r_mag"].exp()
    sae = PlainSAE(
        encoder_DF=found["encoder.weight"].T * gain_F,
        encoder_bias_F=found["mag_bias"],
        decoder_FD=found["decoder.weight"].T,
        b_dec_D=found["decoder_bias"],
        threshold=one_if_equal(found["mag_bias"] - gain_F * found["gate_bias"]),
        centred=True,
    )
    return sae.moved(centred=False)


def write(dictionary: Dictionary, folder: Path) -> None:
    """ae.pt and config.json in the class that holds it exactly: TopK, ReLU, BatchTopK's threshold, or JumpReLU."""
    sae = plain(dictionary, NAME)
    name, tensors = _tensors(sae, k_of(dictionary))
    latents, width = sae.decoder_FD.shape
    trainer = {"dict_class": name, "activation_dim": width, "dict_size": latents}
    trainer |= {"k": int(tensors["k"])} if "k" in tensors else {}
    if (layer := dictionary.about.get("layer")) is not None:
        trainer |= {"layer": layer, "submodule_name": f"resid_post_layer_{layer}"}
    with whole(folder / "ae.pt") as temporary:
        torch.save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, temporary)
    with whole(folder / "config.json") as temporary:
        temporary.write_text(json.dumps({"trainer": trainer}, indent=4) + "\n")


def _tensors(sae: PlainSAE, k: int) -> tuple[str, dict[str, Tensor]]:
    if sae.k is not None:
        if sae.score != "none" or bool((sae.threshold != 0).any()):
            raise UserError(f"{NAME} ranks a TopK SAE's bare codes, without a threshold; this one has a weight or one")
        return "AutoEncoderTopK", _linear(sae.moved(centred=True), sae.k, torch.tensor(-1.0))
    if not sae.centred or sae.threshold.ndim:
        sae = sae.moved(centred=False)
        matrices = {"W_enc": sae.encoder_DF, "b_enc": sae.encoder_bias_F, "W_dec": sae.decoder_FD}
        return "JumpReluAutoEncoder", matrices | {"b_dec": sae.b_dec_D, "threshold": sae.threshold_F()}
    if bool(sae.threshold == 0):
        linear = _linear(sae, k, sae.threshold)
        return "AutoEncoder", {key: linear[key] for key in LINEAR} | {"bias": linear["b_dec"]}
    return "BatchTopKSAE", _linear(sae, k, sae.threshold)


def _linear(sae: PlainSAE, k: int, threshold: Tensor) -> dict[str, Tensor]:
    weights = {
        "encoder.weight": sae.encoder_DF.T,
        "encoder.bias": sae.encoder_bias_F,
        "decoder.weight": sae.decoder_FD.T,
    }
    return weights | {"b_dec": sae.b_dec_D, "k": torch.tensor(k, dtype=torch.int32), "threshold": threshold}
