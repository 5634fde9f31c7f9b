"""science-of-finetuning: CrossCoder, BatchTopKCrossCoder and BatchTopKSAE, from the hub or from a local run.

Layer 0 is base, 1 is chat. Selection ranks f·w, the decoder takes f. x' = (x − mean)·s with one s for each model comes
first, x̂ = x̂'/s + mean last; a NaN mean means neither. Uploads of 2024 have neither these buffers nor the code
normalisation: they are read as not normalised, w = the sum of norms. (peers' fork `crosscoder_learning`)

`about` keeps what a file says and a `Dictionary` has no place for, so that an export says it again.

Shapes: L models, D width, F latents.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from crossdiff.dictionaries.architecture import MIXED, Dictionary
from crossdiff.dictionaries.published import mixture
from crossdiff.dictionaries.published.files import agree, checked, one_if_equal, read_json, read_tensors, shape_of
from crossdiff.dictionaries.published.global_scale import (
    NORMALISER,
    normaliser,
    normaliser_of,
    normaliser_shapes,
    target,
)
from crossdiff.dictionaries.published.plain import PlainSAE, k_of
from crossdiff.dictionaries.recipe import Kind
from crossdiff.errors import UserError
from crossdiff.provenance.files import whole

NAME = "science-of-finetuning"
FILES: tuple[str, ...] = ("model.safetensors", "model_final.pt", "checkpoint_*.pt")
CODES = {1: "CROSSCODER", 2: "SAE", 3: "MIXED", 4: "NONE", 5: "DECOUPLED"}
SCORES = {"CROSSCODER": "sum", "SAE": "concat", "MIXED": "mixed", "NONE": "none", "DECOUPLED": "decoupled"}
OTHER_LAYERS = ("encoder_layers", "latent_processor")
"""Settings of a CrossCoder that change what it computes and that the study never used."""


def read(file: Path, kind: Kind) -> Dictionary:
    """The dictionary in a weight file with its config.json; which class it is of is told by its tensors and its k."""
    settings = read_json(file.with_name("config.json"))
    notes = {} if "trainer" in settings else {"settings": settings}  # a local run's are of its training
    settings = settings.get("trainer", settings)
    tensors = read_tensors(file)
    if "encoder.weight" not in tensors or tensors["encoder.weight"].ndim not in (2, 3):
        shape_of(tensors, "encoder.weight", 3 if kind == "crosscoder" else 2, file)
    crosscoder = tensors["encoder.weight"].ndim == 3
    topk = bool({"threshold", "k"} & set(tensors)) or settings.get("k") is not None
    name = ("BatchTopKCrossCoder" if topk else "CrossCoder") if crosscoder else "BatchTopKSAE"
    agree(settings, {"dict_class": name}, file.with_name("config.json"), file)
    if crosscoder != (kind == "crosscoder"):
        raise UserError(f"kind: {file} holds a {name}; a {kind} was asked for")
    about = {"published": {"format": NAME, "class": name, "kept": notes}}
    if crosscoder:
        return _crosscoder(file, settings, tensors, topk, about)
    return _sae(file, settings, tensors, kind, about)


def _crosscoder(
    file: Path, settings: dict[str, Any], tensors: dict[str, Tensor], topk: bool, about: dict[str, Any]
) -> Dictionary:
    models, width, latents = shape_of(tensors, "encoder.weight", 3, file)
    if models != 2:
        raise UserError(f"{file}: encoder.weight is of {models} layers; a pair has two models, base and chat")
    config = file.with_name("config.json")
    agree(settings, {"activation_dim": width, "dict_size": latents, "num_layers": models}, config, file)
    agree(settings, {"num_decoder_layers": models}, config, file)
    for key in OTHER_LAYERS:
        if settings.get(key) not in (None, [0, 1]):
            raise UserError(f"{config}: {key} = {settings[key]!r} is not supported, only null")
    code = _code_normalisation(settings, tensors, file)
    found = checked(
        tensors,
        {"encoder.weight": (2, width, latents), "encoder.bias": (latents,), "decoder.weight": (2, latents, width)}
        | {"decoder.bias": (2, width)}
        | ({"code_normalization_id": ()} if "code_normalization_id" in tensors else {})
        | normaliser_shapes(tensors, (2, width))
        | ({"k": (), "threshold": (2,) if code == "DECOUPLED" else ()} if topk else {}),
        file,
        NORMALISER,
    )
    threshold = _threshold(found, file, about) if topk else torch.zeros(())
    decoder = found["decoder.weight"]
    score, shares = SCORES[code] if topk or code != "DECOUPLED" else "sum", mixture.shares_of(settings)
    if score == "mixed" and shares != MIXED:
        about["published"]["kept"] |= mixture.kept(threshold, shares)
        score, threshold = "none", mixture.of_codes(threshold, decoder, shares)
    mean, scale = normaliser(found, file)
    about["published"]["kept"] |= target(found)
    return Dictionary(
        kind="crosscoder",
        score=score,
        encoder=found["encoder.weight"],
        encoder_bias=found["encoder.bias"],
        decoder=decoder,
        decoder_bias=found["decoder.bias"],
        threshold=threshold,
        mean=torch.zeros(2, width) if mean is None else mean,
        scale=torch.ones(()) if scale is None else _scale(scale),
        about=about,
    )


def _code_normalisation(settings: dict[str, Any], tensors: dict[str, Tensor], file: Path) -> str:
    """Name of the form of w: by the file's own number, else the config, else what all had before it was stored."""
    named = _named(settings)
    if "code_normalization_id" not in tensors:
        if named and named not in CODES.values():
            raise UserError(f"{file.with_name('config.json')}: code_normalization {named!r} is unknown")
        return named or "CROSSCODER"
    number = tensors["code_normalization_id"]
    code = CODES.get(int(number)) if number.numel() == 1 else None
    if code is None:
        raise UserError(f"{file}: code_normalization_id {number.tolist()} is unknown; known are {sorted(CODES)}")
    if named and named != code:
        raise UserError(f"{file}: code_normalization_id says {code}, but config.json {named}")
    return code


def _named(settings: dict[str, Any]) -> str:
    """Name of the form of w in settings, however they spell it; "" if they have none."""
    return str(settings.get("code_normalization") or "").rpartition(".")[2].upper()


def _sae(
    file: Path, settings: dict[str, Any], tensors: dict[str, Tensor], kind: Kind, about: dict[str, Any]
) -> Dictionary:
    latents, width = shape_of(tensors, "encoder.weight", 2, file)
    agree(settings, {"activation_dim": width, "dict_size": latents}, file.with_name("config.json"), file)
    shapes = {"encoder.weight": (latents, width), "encoder.bias": (latents,), "decoder.weight": (width, latents)}
    shapes |= {"b_dec": (width,), "k": (), "threshold": ()} | normaliser_shapes(tensors, (width,))
    found = checked(tensors, shapes, file, NORMALISER)
    mean, scale = normaliser(found, file)
    about["published"]["kept"] |= target(found)
    b_dec = found["b_dec"] if mean is None or scale is None else mean + found["b_dec"] / scale
    sae = PlainSAE(
        encoder_DF=found["encoder.weight"].T,
        encoder_bias_F=found["encoder.bias"],
        decoder_FD=found["decoder.weight"].T,
        b_dec_D=b_dec,
        threshold=_threshold(found, file, about),
        centred=True,
    )
    dictionary = sae.dictionary(kind, about)
    return dictionary if scale is None else replace(dictionary, scale=scale)


def _threshold(found: dict[str, Tensor], file: Path, about: dict[str, Any]) -> Tensor:
    """θ of a BatchTopK class; its k is noted, for an export."""
    if bool(found["threshold"].min() < 0):
        raise UserError(
            f"{file}: threshold was never set ({found['threshold'].tolist()}), so what is active would depend on the"
            " batch; take a checkpoint of a later step"
        )
    about["published"]["k"] = int(found["k"])
    return found["threshold"]


def _scale(scale_L: Tensor) -> Tensor:
    """One scale if the models share it, else [L, 1]."""
    shared = one_if_equal(scale_L)
    return shared if shared.ndim == 0 else shared[:, None]


def write(dictionary: Dictionary, folder: Path) -> None:
    """model.safetensors and config.json as the hub has them; UserError names what the format has no place for."""
    if dictionary.k is not None:
        raise UserError(f"{NAME} holds no TopK dictionary; export it as dictionary_learning, saelens or sparsify")
    notes = (dictionary.about.get("published") or {}).get("kept") or {}
    dictionary, shares = mixture.restored(dictionary, notes)
    if dictionary.threshold.ndim and not dictionary.decoupled:
        raise UserError(
            f"{NAME} holds one threshold, not one a latent; export an SAE as dictionary_learning or saelens"
        )
    topk = dictionary.shape[0] == 1 or bool((dictionary.threshold != 0).any())
    rms, crosscoder = notes.get("target_rms"), dictionary.shape[0] == 2
    tensors, config = _of_crosscoder(dictionary, shares, rms) if crosscoder else _of_sae(dictionary, rms)
    if topk:
        k = k_of(dictionary)
        tensors |= {"k": torch.tensor(k, dtype=torch.int32), "threshold": dictionary.threshold}
        config["k"] = k
    config = _as_told(config, notes.get("settings", {}))
    with whole(folder / "model.safetensors") as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
    with whole(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n")


def _as_told(config: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The settings as those of its own file say them; the name of w only where it is the same."""
    same = _named(told) == config.get("code_normalization")
    return config | {key: value for key, value in told.items() if same or key != "code_normalization"}


def _of_crosscoder(
    dictionary: Dictionary, shares: dict[str, float], rms: float | None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    _, width, latents = dictionary.shape
    code = {score: name for name, score in SCORES.items()}[dictionary.score]
    tensors = {
        "encoder.weight": dictionary.encoder,
        "encoder.bias": dictionary.encoder_bias,
        "decoder.weight": dictionary.decoder,
        "decoder.bias": dictionary.decoder_bias,
        "code_normalization_id": torch.tensor({name: number for number, name in CODES.items()}[code]),
    } | normaliser_of(dictionary.mean, dictionary.scale.flatten().expand(2), rms)
    config: dict[str, Any] = {"activation_dim": width, "dict_size": latents, "num_layers": 2}
    config |= {"activation_mean": None, "activation_std": None, "target_rms": float(tensors["target_rms"])}
    config |= {"code_normalization": code}
    config |= {mixture.ALPHAS[form]: share for form, share in shares.items()} if code == "MIXED" else {}
    name = "BatchTopKCrossCoder" if bool((dictionary.threshold != 0).any()) else "CrossCoder"
    return tensors, config | {"dict_class": name}


def _of_sae(dictionary: Dictionary, rms: float | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """b_dec is the decoder bias, subtracted of the normalised input; an SAE of ours that has it elsewhere is moved."""
    if dictionary.score != "none":
        raise UserError(f"{NAME} ranks an SAE's bare codes; export one of score {dictionary.score} as saelens")
    _, width, latents = dictionary.shape
    scale = dictionary.scale.flatten()[0]
    bias_D, mean_D = dictionary.decoder_bias[0], dictionary.mean[0]
    encoder_bias_F = dictionary.encoder_bias
    if bool(bias_D.any()):
        encoder_bias_F = (encoder_bias_F.double() + bias_D.double() @ dictionary.encoder[0].double()).float()
    if bool(scale == 1) and not bool(bias_D.any()):
        bias_D, mean_D = mean_D, torch.zeros_like(mean_D)
    tensors = {
        "encoder.weight": dictionary.encoder[0].T,
        "encoder.bias": encoder_bias_F,
        "decoder.weight": dictionary.decoder[0].T,
        "b_dec": bias_D,
    } | normaliser_of(mean_D, scale, rms)
    config: dict[str, Any] = {"activation_dim": width, "dict_size": latents}
    config |= {"target_rms": float(tensors["target_rms"]), "dict_class": "BatchTopKSAE"}
    return tensors, config
