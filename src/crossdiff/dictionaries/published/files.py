"""Tensors and settings of somebody's files, read strictly: every fault is a UserError that names the file and the key.

Nothing in a file is run: `.pt` files are read as tensors only.
"""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from crossdiff.errors import UserError, first_line
from crossdiff.provenance.files import read_object

COMPILED = "_orig_mod."
"""What torch.compile puts before the names of a module's tensors."""


def read_json(file: Path) -> dict[str, Any]:
    """The settings beside weights; UserError if there are none."""
    return read_object(file, "; a dictionary of this format has it beside its weights", "fetch it again")


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file or of a PyTorch state dict, on the CPU, in the file's dtypes."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        held = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: give the folder that holds it") from None
    except (SafetensorError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"{file} cannot be read ({first_line(error)}): fetch it again") from None
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise UserError(f"{file} is no state dict: it must hold tensors by name and nothing else")
    return {name.removeprefix(COMPILED): value for name, value in held.items()}


def checked(
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    file: Path,
    not_finite: Iterable[str] = (),
) -> dict[str, Tensor]:
    """The tensors as fp32 if they are exactly those of ``shapes``; UserError names what is missing, extra or misshapen.

    Values must be finite but for the names in ``not_finite``.
    """
    missing, extra = sorted(set(shapes) - set(tensors)), sorted(set(tensors) - set(shapes))
    if missing or extra:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has unknown {', '.join(extra)}"] if extra else []
        raise UserError(f"{file} {' and '.join(parts)}; this format has exactly {', '.join(sorted(shapes))}")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != tuple(shapes[name]):
            raise UserError(f"{file}: {name} has shape {list(tensor.shape)}, not {list(shapes[name])}")
        if tensor.is_complex() or tensor.dtype == torch.bool:
            raise UserError(f"{file}: {name} holds {tensor.dtype}, not numbers of a dictionary")
        if name not in not_finite and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{file}: {name} holds values that are not finite: fetch the file again")
    return {name: tensor.to(torch.float32).contiguous() for name, tensor in tensors.items()}


def shape_of(tensors: Mapping[str, Tensor], name: str, dimensions: int, file: Path) -> tuple[int, ...]:
    """Shape of the tensor that tells the dictionary's sizes; UserError if it is missing or of other dimensions."""
    if name not in tensors:
        raise UserError(f"{file} lacks {name}; it has {', '.join(sorted(tensors)) or 'no tensor'}")
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise UserError(f"{file}: {name} has shape {list(shape)}, where {dimensions} dimensions, none of 0, are wanted")
    return shape


def agree(settings: Mapping[str, Any], wanted: Mapping[str, Any], file: Path, weights: Path) -> None:
    """UserError if a key of ``settings`` that is there and not null says otherwise than the weights do."""
    for key, value in wanted.items():
        if settings.get(key) is not None and settings[key] != value:
            raise UserError(f"{file}: {key} is {settings[key]!r}, but by {weights.name} it is {value!r}")


def count(settings: Mapping[str, Any], key: str, file: Path) -> int:
    """A positive whole number of ``settings``."""
    value = settings.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{file}: {key} must be a positive number, got {value!r}")
    return value


def one_if_equal(tensor_X: Tensor) -> Tensor:
    """A vector whose entries are all the same as a scalar, another as it is."""
    return tensor_X[0].clone() if bool((tensor_X == tensor_X[0]).all()) else tensor_X
