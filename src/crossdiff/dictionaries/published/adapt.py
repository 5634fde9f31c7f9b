"""From what a file holds to what the study's activations need: scales, width, site.

Shapes: B tokens, L models, D width.
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.published.kissane import scale
from crossdiff.dictionaries.published.site import layer_of
from crossdiff.errors import UserError


def norm_factors(batches: Iterable[Tensor]) -> tuple[float, float]:
    """√D / mean ‖x‖ of each model over raw pair activations [B, 2, D]: the factors of the ckkissane replication."""
    total_L, tokens, width = torch.zeros(2, dtype=torch.float64), 0, 0
    for x_BLD in batches:
        total_L += torch.linalg.vector_norm(x_BLD.double(), dim=2).sum(0)
        tokens, width = tokens + len(x_BLD), x_BLD.shape[2]
    if not tokens or not bool((total_L > 0).all()):
        raise UserError("activations: there is no training token to fit the scales on; give them as numbers")
    base, chat = (width**0.5 * tokens / total_L).float().tolist()
    return base, chat


def scaled(dictionary: Dictionary, factors: tuple[float, float] | None, key: str) -> Dictionary:
    """The dictionary with the factors of each model's activations, if its files keep none; UserError names the key."""
    published = dictionary.about["published"]
    missing = published.get("unscaled", False)
    if missing and factors is None:
        raise UserError(
            f"{key}.scales: files of {published['format']} do not keep what they multiply the activations of base and"
            " chat by; give the two numbers, or `fit`"
        )
    if not missing and factors is not None:
        raise UserError(f"{key}.scales: these files keep their own scale; take it out")
    if factors is None:
        return dictionary
    about = dictionary.about | {"published": published | {"unscaled": False, "scales": list(factors)}}
    return replace(dictionary, scale=scale(factors, f"{key}.scales"), about=about)


def check(dictionary: Dictionary, width: int, layer: int, key: str) -> None:
    """UserError if it was made for activations of another width or of another block."""
    own = dictionary.shape[1]
    if own != width:
        raise UserError(
            f"{key}.from: the dictionary has width {own}, but the models have width {width}:"
            " it was trained on another model"
        )
    try:
        trained = layer_of(dictionary.about["published"].get("hook"))
    except UserError as error:
        raise UserError(f"{key}.from: {error}") from None
    if trained is not None and trained != layer:
        raise UserError(
            f"{key}.from: the dictionary was trained on the stream after block {trained},"
            f" but activations.layer is {layer}"
        )
