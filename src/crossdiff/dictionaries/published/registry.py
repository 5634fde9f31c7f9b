"""All formats by name, which one wrote a file, and reading or writing a dictionary in one."""

from pathlib import Path
from typing import Protocol, get_args

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.published import dictionary_learning, finetuning, kissane, own, saelens, sparsify
from crossdiff.dictionaries.published.settings import FormatName
from crossdiff.dictionaries.recipe import Kind
from crossdiff.errors import UserError


class Format(Protocol):
    """A format: a module with a name, patterns of its weight files (the first that is there counts), and both ways."""

    NAME: str
    FILES: tuple[str, ...]

    def read(self, file: Path, kind: Kind) -> Dictionary:
        """The dictionary in a weight file and the settings beside it."""
        ...

    def write(self, dictionary: Dictionary, folder: Path) -> None:
        """Its files in a folder; UserError, before any is written, names what the format cannot hold."""
        ...


MODULES: tuple[Format, ...] = (finetuning, kissane, dictionary_learning, saelens, sparsify, own)
FORMATS: dict[str, Format] = {module.NAME: module for module in MODULES}
assert set(FORMATS) == set(get_args(FormatName))


def weights(path: Path, name: str | None, told: str = "") -> tuple[Format, Path]:
    """The format of a weight file or of the one weight file in a folder, and that file.

    ``name`` overrides what the files tell, ``told`` is what an error calls the place. UserError if there is none, or
    more than one.
    """
    formats = [format_ for format_ in MODULES if name in (None, format_.NAME)]
    if path.is_file():
        fitting = formats if name else [format_ for format_ in formats if any(path.match(p) for p in format_.FILES)]
        found = [(format_, path) for format_ in fitting]
    else:
        found = [(format_, file) for format_ in formats for file in _first(path, format_.FILES)]
    if len(found) == 1:
        return found[0]
    if found:
        files = ", ".join(f"{file.name} ({format_.NAME})" for format_, file in found)
        raise UserError(f"{told or path} holds more than one dictionary: {files}; give the file, or its format")
    wanted = "; ".join(f"{format_.NAME}: {' or '.join(format_.FILES)}" for format_ in formats)
    raise UserError(f"{told or path} holds no weight file of a known format ({wanted}); give subfolder, file or format")


def _first(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Files of the first pattern that any file matches."""
    return next((files for pattern in patterns if (files := sorted(folder.glob(pattern)))), [])


def write(dictionary: Dictionary, folder: Path, name: str) -> None:
    """Write a dictionary in a format; UserError if there is no such format or it cannot hold the dictionary."""
    if name not in FORMATS:
        raise UserError(f"there is no format {name}; there are {', '.join(FORMATS)}")
    FORMATS[name].write(dictionary, folder)
