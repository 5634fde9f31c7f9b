"""Twins: a chat-only and a base-only latent of one crosscoder with nearly the same direction (study_spec §1.9).

An L1 crosscoder may write one shared concept as two latents, one for each model. Their directions then agree, and they
are active on the same tokens; pairs of the same base-only latents with other chat-only ones are the control.

Shapes: F latents, D width, P pairs, U latents in some pair, B tokens.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

HIGH, LOW = 0.4, 0.1
"""Of the larger of the two latents' maxima: active above, and as good as silent at or below."""
CHUNK = 1024
"""Rows of the cosine matrix held at a time."""


class Pairs(NamedTuple):
    """Pairs of latents and the cosine of d^c of the first with d^b of the second."""

    chat_P: Tensor
    """int64."""
    base_P: Tensor
    """int64."""
    cosine_P: Tensor


def alike(decoder_LFD: Tensor, chat_C: Tensor, base_E: Tensor, least: float) -> Pairs:
    """All pairs of chat-only latents ``chat_C`` and base-only ones ``base_E`` whose cosine is above ``least``."""
    chat_CD = torch.nn.functional.normalize(decoder_LFD[1, chat_C], dim=-1)
    base_ED = torch.nn.functional.normalize(decoder_LFD[0, base_E], dim=-1)
    parts = []
    for first in range(0, len(chat_C), CHUNK):
        cosine_cE = chat_CD[first : first + CHUNK] @ base_ED.T
        c_p, e_p = (cosine_cE > least).nonzero(as_tuple=True)
        parts.append(Pairs(chat_C[first + c_p], base_E[e_p], cosine_cE[c_p, e_p]))
    if not parts:
        none = chat_C.new_zeros(0)
        return Pairs(none, none, decoder_LFD.new_zeros(0))
    return Pairs(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def one_to_one(pairs: Pairs) -> Pairs:
    """Pairs in which no latent stands twice: taken greedily, highest cosine first.

    How the study reduces its 167 pairs to 109 is not in its code; this is the plainest rule.
    """
    taken_c: set[int] = set()
    taken_b: set[int] = set()
    keep = []
    for place in torch.argsort(pairs.cosine_P, descending=True, stable=True).tolist():
        chat, base = int(pairs.chat_P[place]), int(pairs.base_P[place])
        if chat not in taken_c and base not in taken_b:
            taken_c.add(chat)
            taken_b.add(base)
            keep.append(place)
    index = torch.tensor(keep, dtype=torch.long, device=pairs.chat_P.device)
    return Pairs(*(column[index] for column in pairs))


def false_twins(pairs: Pairs, decoder_LFD: Tensor, chat_C: Tensor, seed: int) -> Pairs:
    """The control: each base-only latent again, with a chat-only latent drawn from all but its own twin.

    Empty if there is no other chat-only latent.
    """
    if len(chat_C) < 2 or not len(pairs.chat_P):
        return Pairs(*(column[:0] for column in pairs))
    generator = torch.Generator().manual_seed(seed)
    place_of = {latent: place for place, latent in enumerate(chat_C.tolist())}
    own_P = torch.tensor([place_of[latent] for latent in pairs.chat_P.tolist()])
    shift_P = torch.randint(1, len(chat_C), (len(own_P),), generator=generator)
    chat_P = chat_C[((own_P + shift_P) % len(chat_C)).to(chat_C.device)]
    cosine_P = torch.nn.functional.cosine_similarity(decoder_LFD[1, chat_P], decoder_LFD[0, pairs.base_P], dim=-1)
    return Pairs(chat_P, pairs.base_P, cosine_P)


class Together:
    """Counts of tokens on which the two latents of each pair are active, one or both."""

    def __init__(self, chat_P: Tensor, base_P: Tensor, maximum_U: Tensor):
        """``chat_P`` and ``base_P`` are places among the U latents, ``maximum_U`` their largest scaled activations."""
        self.chat_P, self.base_P = chat_P, base_P
        self._scale_P = torch.maximum(maximum_U[chat_P], maximum_U[base_P])
        self.counts = {
            name: torch.zeros(len(chat_P), dtype=torch.int64, device=chat_P.device)
            for name in ("chat", "base", "both", "high", "apart")
        }

    def add(self, active_BU: Tensor) -> None:
        """Add the scaled activations f·w of some tokens."""
        chat_BP, base_BP = active_BU[:, self.chat_P], active_BU[:, self.base_P]
        share_c, share_b = chat_BP / self._scale_P, base_BP / self._scale_P
        high_c, high_b = share_c > HIGH, share_b > HIGH
        apart_BP = (high_c & (share_b <= LOW)) | (high_b & (share_c <= LOW))
        found = {
            "chat": chat_BP > 0,
            "base": base_BP > 0,
            "both": (chat_BP > 0) & (base_BP > 0),
            "high": high_c | high_b,
            "apart": apart_BP,
        }
        for name, there_BP in found.items():
            self.counts[name] += there_BP.sum(0)

    def columns(self) -> dict[str, Tensor]:
        """The counts; divergence = apart / high, and P(chat | base), P(base | chat); NaN where nothing is active."""
        n = {name: count.double() for name, count in self.counts.items()}
        return {f"tokens_{name}": count for name, count in self.counts.items()} | {
            "divergence": n["apart"] / n["high"],
            "chat_given_base": n["both"] / n["base"],
            "base_given_chat": n["both"] / n["chat"],
        }


def count(together: Together, batches: Iterable[Tensor]) -> Together:
    """All batches [B, U] of scaled activations counted."""
    for active_BU in batches:
        together.add(active_BU)
    return together
