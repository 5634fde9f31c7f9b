"""Crosscoders and SAEs: what they are, how they are trained, how they are kept on disk.

The names below are loaded when first used, so that the config can read a recipe without torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossdiff.dictionaries.architecture import Dictionary
    from crossdiff.dictionaries.formats import load, save

__all__ = ["Dictionary", "load", "save"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from crossdiff.dictionaries import architecture, formats

    return architecture.Dictionary if name == "Dictionary" else getattr(formats, name)
