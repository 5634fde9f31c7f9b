"""What the folders of a pair's models lack, as far as their file names tell.

The commonest faults of a model that somebody tuned: an adapter in the place of the model, no tokenizer beside it, or
the same model twice.
"""

from itertools import combinations
from pathlib import Path

from crossdiff.config import Config
from crossdiff.errors import UserError
from crossdiff.paths import local
from crossdiff.workflow import key_of, sides, source_of

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt", "tekken.json")
"""One of these holds a tokenizer's vocabulary."""
ADAPTER = "adapter_config.json"
Folders = dict[str, Path]
"""Folder of a model by what the config calls it."""


def check_folders(study: Config) -> None:
    """UserError names the first model whose folder cannot be a model's, or two that are one."""
    folders = named(study)
    for key, folder in folders.items():
        if (folder / ADAPTER).is_file():
            raise UserError(
                f"{key}.path: {folder} holds a LoRA adapter, not a model; merge it into its base (merge_and_unload of"
                " peft) and save that with its tokenizer"
            )
        if not any((folder / name).is_file() for name in TOKENIZERS):
            raise UserError(
                f"{key}.path: there is no tokenizer in {folder} (none of {', '.join(TOKENIZERS[:3])}); save it beside"
                " the model with save_pretrained"
            )
    for (one, folder), (other, same) in combinations(folders.items(), 2):
        if folder.resolve() == same.resolve():
            raise UserError(f"{other}.path: {same} is the folder of {one}; name another model")


def named(study: Config) -> Folders:
    """Local folders that the config names as models; a GGUF in one brings its own tokenizer."""
    origins = {key_of(side): source_of(study, side) for side in sides(study)}
    paths = {key: origin.path for key, origin in origins.items() if origin.gguf is None}
    return {
        key: folder for key, path in paths.items() if local(path) and (folder := Path(str(path)).expanduser()).is_dir()
    }
