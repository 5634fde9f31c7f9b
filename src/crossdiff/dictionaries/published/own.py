"""crossdiff's own files, so that a dictionary of another study or of a colleague can be taken as it is."""

from dataclasses import replace
from pathlib import Path

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.formats import load, save
from crossdiff.dictionaries.published.plain import k_of
from crossdiff.dictionaries.recipe import Kind
from crossdiff.errors import UserError

NAME = "crossdiff"
FILES: tuple[str, ...] = ("dictionary.safetensors",)


def read(file: Path, kind: Kind) -> Dictionary:
    """The dictionary of a weight file with its dictionary.json, which says what kind it is."""
    dictionary = load(file.parent)
    if dictionary.kind != kind:
        raise UserError(f"kind: {file} holds a {dictionary.kind}; a {kind} was asked for")
    layer = dictionary.about.get("layer")
    hook = None if layer is None else f"layers.{layer}"
    about = {"format": NAME, "class": dictionary.kind, "hook": hook, "k": k_of(dictionary), "about": dictionary.about}
    about |= {"kept": kept} if (kept := (dictionary.about.get("published") or {}).get("kept")) else {}
    return replace(dictionary, about={"published": about})


def write(dictionary: Dictionary, folder: Path) -> None:
    """dictionary.safetensors and dictionary.json."""
    save(dictionary, folder)
