"""What latents stand for in raw activations, and dictionaries of a few chosen latents. Numerics only.

Shapes: L models, F latents, D width, S chosen latents, N active entries, C contributions: F of them, or with decoupled
codes 2·F, what each latent does to chat and then what it does to base.
"""

from dataclasses import replace

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Codes, Dictionary, Whole


def offset(dictionary: Dictionary) -> Tensor:
    """Raw reconstruction [L, D] of a token on which no latent is active: decoder bias and mean (b^m of the study)."""
    return dictionary.decoder_bias / dictionary.scale + dictionary.mean


def contribution(dictionary: Dictionary) -> Tensor:
    """What one unit of a latent's code stands for in chat beyond base, raw, [F, D].

    d^c − d^b for a crosscoder, the one decoder row for an SAE (of the difference, or of the chat model).
    """
    rows_LFD = dictionary.directions()
    return rows_LFD[1] - rows_LFD[0] if len(rows_LFD) == 2 else rows_LFD[0]


def contributions(dictionary: Dictionary) -> Tensor:
    """Rows [C, D] that `contributed` codes weigh; row c is of latent c % F."""
    if not dictionary.decoupled:
        return contribution(dictionary)
    base_FD, chat_FD = dictionary.directions()
    return torch.cat([chat_FD, -base_FD])


def contributed(dictionary: Dictionary, codes: Codes) -> Codes:
    """Codes over `contributions`: Σ value · row is what the latents say chat has beyond base."""
    if not dictionary.decoupled:
        return codes
    base_N, chat_N = dictionary.taken(codes.value_N, codes.latent_N)
    shifted = codes._replace(latent_N=codes.latent_N + dictionary.shape[2])
    return Codes(*(torch.cat([c[chat_N], b[base_N]]) for c, b in zip(codes, shifted, strict=True)))


def spread(dictionary: Dictionary, f_XF: Tensor) -> Tensor:
    """Dense codes [.., F] over `contributions`, [.., C]."""
    if not dictionary.decoupled:
        return f_XF
    base_XF, chat_XF = f_XF * dictionary.taken(f_XF)
    return torch.cat([chat_XF, base_XF], -1)


def subset(dictionary: Dictionary, latents_S: Tensor) -> Dictionary:
    """The dictionary of the numbered latents only; each is active exactly where it is in the whole one."""
    threshold = dictionary.threshold
    return replace(
        dictionary,
        encoder=dictionary.encoder[:, :, latents_S],
        encoder_bias=dictionary.encoder_bias[latents_S],
        decoder=dictionary.decoder[:, latents_S],
        threshold=threshold[latents_S] if threshold.ndim and not dictionary.decoupled else threshold,
        whole=None if dictionary.k is None else Whole(dictionary, latents_S),
    )
