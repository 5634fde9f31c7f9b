"""A dictionary on disk: ``dictionary.safetensors`` and ``dictionary.json``, side by side in one folder.

Reading is strict: a missing, extra or misshapen tensor is an error, never a silent random start.
"""

import json
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from crossdiff.dictionaries.architecture import READS, TENSORS, Dictionary
from crossdiff.dictionaries.recipe import Kind, Score
from crossdiff.errors import UserError
from crossdiff.provenance.files import read_object, whole

FORMAT = 1


def save(dictionary: Dictionary, folder: Path | str) -> None:
    """Write both files into ``folder``, each whole or not at all."""
    folder = Path(folder)
    models, width, latents = dictionary.shape
    document: dict[str, Any] = {
        "format": FORMAT,
        "kind": dictionary.kind,
        "reads": READS[dictionary.kind],
        "score": dictionary.score,
        "shape": {"models": models, "width": width, "latents": latents},
    }
    if dictionary.k is not None:
        document["k"] = dictionary.k
    document["about"] = dictionary.about
    with whole(folder / "dictionary.safetensors") as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in dictionary.tensors.items()}, temporary)
    with whole(folder / "dictionary.json") as temporary:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def load(path: Path | str, device: str | torch.device = "cpu") -> Dictionary:
    """The dictionary in a folder; UserError says what is wrong with its files."""
    folder = Path(path)
    document = _document(folder / "dictionary.json")
    tensors: dict[str, Any] = _tensors(folder / "dictionary.safetensors")
    _check(tensors, document["shape"], document["score"] == "decoupled", folder / "dictionary.safetensors")
    about = document.get("about", {})
    kind, score, k = document["kind"], document["score"], document.get("k")
    return Dictionary(kind=kind, score=score, k=k, about=about, **tensors).to(device)


def _document(file: Path) -> dict[str, Any]:
    document = read_object(
        file, ": give the folder of a dictionary that was trained to the end", "train the dictionary again"
    )
    if document.get("format") != FORMAT:
        raise UserError(f"{file}: format {document.get('format')!r} cannot be read, only {FORMAT}")
    if document.get("kind") not in get_args(Kind) or document.get("score") not in get_args(Score):
        raise UserError(f"{file}: kind {document.get('kind')!r} or score {document.get('score')!r} is unknown")
    shape = document.get("shape")
    if not isinstance(shape, dict) or not all(isinstance(shape.get(n), int) for n in ("models", "width", "latents")):
        raise UserError(f"{file}: shape must give models, width and latents, got {shape!r}")
    if not (document.get("k") is None or (type(document["k"]) is int and document["k"] > 0)):
        raise UserError(f"{file}: k must be a positive number, got {document['k']!r}")
    if shape["models"] != (2 if document["kind"] == "crosscoder" else 1):
        raise UserError(f"{file}: a {document['kind']} cannot have models = {shape['models']}")
    if document["score"] == "decoupled" and (shape["models"] == 1 or document.get("k") is not None):
        raise UserError(f"{file}: decoupled codes are of a crosscoder with a threshold for each model")
    return document


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: give the folder of a dictionary that was trained to the end") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} cannot be read ({error}): copy it again or train the dictionary again") from None


def _check(tensors: dict[str, Tensor], shape: dict[str, int], decoupled: bool, file: Path) -> None:
    """All tensors there, no other, fp32, finite, of the shapes that dictionary.json tells."""
    missing, extra = set(TENSORS) - set(tensors), set(tensors) - set(TENSORS)
    if missing or extra:
        parts = [f"lacks {', '.join(sorted(missing))}"] if missing else []
        parts += [f"has unknown {', '.join(sorted(extra))}"] if extra else []
        raise UserError(f"{file} {' and '.join(parts)}; a dictionary has exactly {', '.join(TENSORS)}")
    models, width, latents = shape["models"], shape["width"], shape["latents"]
    wanted: dict[str, tuple[tuple[int, ...], ...]] = {
        "encoder": ((models, width, latents),),
        "encoder_bias": ((latents,),),
        "decoder": ((models, latents, width),),
        "decoder_bias": ((models, width),),
        "threshold": ((models,),) if decoupled else ((), (latents,)),
        "mean": ((models, width),),
        "scale": ((), (models, 1)),
    }
    for name, tensor in tensors.items():
        if tuple(tensor.shape) not in wanted[name] or tensor.dtype != torch.float32:
            right = f"torch.float32 {' or '.join(str(list(shape)) for shape in wanted[name])}"
            found = f"{tensor.dtype} {list(tensor.shape)}"
            raise UserError(f"{file}: {name} is {found}, but dictionary.json says {right}")
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{file}: {name} holds values that are not finite; train again, with a lower lr if need be")
