"""What latents stand for in raw activations, and dictionaries of a few chosen latents. Numerics only.

Shapes: L models, F latents, D width, S chosen latents.
"""

from dataclasses import replace

from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary, Whole


def offset(dictionary: Dictionary) -> Tensor:
    """Raw reconstruction [L, D] of a token on which no latent is active: decoder bias and mean (b^m of the study)."""
    return dictionary.decoder_bias / dictionary.scale + dictionary.mean


def contribution(dictionary: Dictionary) -> Tensor:
    """What one unit of a latent's code stands for in chat beyond base, raw, [F, D].

    d^c − d^b for a crosscoder, the one decoder row for an SAE (of the difference, or of the chat model).
    """
    rows_LFD = dictionary.directions()
    return rows_LFD[1] - rows_LFD[0] if len(rows_LFD) == 2 else rows_LFD[0]


def subset(dictionary: Dictionary, latents_S: Tensor) -> Dictionary:
    """The dictionary of the numbered latents only; each is active exactly where it is in the whole one."""
    threshold = dictionary.threshold
    return replace(
        dictionary,
        encoder=dictionary.encoder[:, :, latents_S],
        encoder_bias=dictionary.encoder_bias[latents_S],
        decoder=dictionary.decoder[:, latents_S],
        threshold=threshold[latents_S] if threshold.ndim else threshold,
        whole=None if dictionary.k is None else Whole(dictionary, latents_S),
    )
