"""Do a model's files hold the model that its config describes? Told before it is loaded.

transformers itself is asked, with the files' headers in place of their tensors: names, tied weights and conversions
count exactly as they will when the model is loaded, and nothing that it would make up at random goes unnoticed.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from crossdiff.errors import UserError, first_line
from crossdiff.pair.blocks import decoder_layers
from crossdiff.pair.models import check_complete, unreported

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def skeleton(key: str, folder: Path) -> PreTrainedModel:
    """A model without weights, built from the config.json in ``folder``; UserError unless it is decoder-only.

    ``key`` is what the config calls the model, such as pair.chat.
    """
    advice = "give a decoder-only causal language model"
    try:
        config = AutoConfig.from_pretrained(folder)
        if config.is_encoder_decoder:
            raise UserError(f"{key}.path: {folder} holds an encoder-decoder model ({config.model_type}); {advice}")
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    except UserError:
        raise
    except Exception as error:  # whatever the architecture's own code stumbles over
        raise UserError(
            f"{key}.path: transformers cannot build a causal language model from {folder}/config.json"
            f" ({first_line(error)}); {advice}, or install a newer transformers"
        ) from None
    try:
        decoder_layers(model)
    except (UserError, AttributeError):
        raise UserError(
            f"{key}.path: {type(model).__name__} in {folder} has no list of decoder blocks; {advice}"
        ) from None
    return model


def weight_files(key: str, folder: Path) -> list[Path]:
    """The safetensors files that transformers would read in ``folder``; UserError if one is missing."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    index = folder / INDEX
    if not index.is_file():
        raise UserError(f"{key}.path: there is no {WHOLE} in {folder}; save the model as safetensors first")
    try:
        files = [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{key}.path: {index} is no index of safetensors files; get it again") from None
    for file in files:
        if not file.is_file():
            raise UserError(f"{key}.path: {folder} lacks {file.name}; copy or download the model again")
    return files


def check_weights(key: str, folder: Path) -> list[Path]:
    """The weight files of a model; UserError unless they are whole and hold each weight of its config, in its shape."""
    files = weight_files(key, folder)
    headers: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            with safe_open(file, "pt") as tensors:
                for name in tensors.offset_keys():
                    headers[name] = torch.empty(tensors.get_slice(name).get_shape(), device="meta")
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{key}.path: {file} is not a whole safetensors file ({first_line(error)}); get it again"
            ) from None
    model = skeleton(key, folder)
    load: Any = type(model).from_pretrained  # whose type leaves out the loading info
    try:
        with unreported(progress=False):
            _, found = load(
                None, config=model.config, state_dict=headers, device_map={"": "meta"}, output_loading_info=True,
                ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:  # quantised weights, say, whose package is not here
        raise UserError(
            f"{key}.path: transformers cannot load the weights in {folder} ({first_line(error)}); save the model in"
            " bfloat16 or float32 first"
        ) from None
    check_complete(found, key, str(folder))
    return files


def check_finite(key: str, files: list[Path]) -> None:
    """Read all weights once; UserError names the first tensor that holds a NaN or an infinity, and its file."""
    for file in files:
        with safe_open(file, "pt") as tensors:
            for name in tensors.offset_keys():
                tensor = tensors.get_tensor(name)
                # The extremes tell as surely as a look at every element, at a fortieth of the cost.
                if tensor.numel() and tensor.is_floating_point() and not all(map(torch.isfinite, tensor.aminmax())):
                    raise UserError(
                        f"{key}.path: {name} in {file} holds values that are not finite (NaN or infinity); get the"
                        " model again, or save it anew from a sound checkpoint"
                    )
