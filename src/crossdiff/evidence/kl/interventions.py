"""The interventions of the KL experiment and the edited streams (study_spec §3.3 for crosscoders, §3.4 for SAEs).

    stream = start ± (Σ_{j in set} f_j·v_j + bias)      v_j: `attribution.directions.contributions`

In the additive form v_j is chat's decoder row alone: base keeps what it has of the latent.

Shapes: T positions, L models, F latents, C contributions, D width.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from crossdiff.attribution.directions import contributed, contributions, offset
from crossdiff.attribution.sums import weighted_sums
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.sets import (
    Candidates,
    Measures,
    crosscoder_sets,
    opposite_set,
    random_sets,
    sae_sets,
    threshold_sets,
)


@dataclass(frozen=True, eq=False)
class Intervention:
    """One edit of the stream."""

    name: str
    latents_F: Tensor
    """Bool mask of the latents whose contribution is patched."""
    start: Literal["base", "chat"] = "base"
    """The stream it starts from; contributions are added to base and taken from chat."""
    bias: bool = False
    """Whether the constant part of the dictionary's difference goes along."""
    additive: bool = False
    """Whether chat's decoder rows are added, in place of the difference to base's."""
    negated: bool = False
    """Whether the edit goes the other way: taken from base, or added to chat."""

    @property
    def sign(self) -> int:
        """Of the edit."""
        return -1 if (self.start == "chat") != self.negated else 1


def interventions(
    kind: str, measures: Measures, groups: Collection[str], candidates: Candidates, random: int, seed: int
) -> list[Intervention]:
    """The interventions of these ``groups`` for a dictionary of this kind, and ``random`` sets of a half's size.

    Groups: see `crossdiff.evidence.settings`. A base-SAE has none, for it says nothing of chat.
    """
    if kind == "base-sae":
        return []
    crosscoder = kind == "crosscoder"
    sets = crosscoder_sets(measures, candidates) if crosscoder else sae_sets(measures, candidates)
    offered = {
        "whole": whole(kind, measures),
        "halves": replacing(sets),
        "additive": [Intervention(f"{n}-additive", m, additive=True) for n, m in sets.items()] if crosscoder else [],
        "thresholds": replacing(threshold_sets(kind, measures)),
        "bias": biases(kind, sets),
        "opposite": [] if crosscoder else replacing(opposite_set(measures, candidates)),
    }
    chosen = [each for group, some in offered.items() if group in groups for each in some]
    return chosen + replacing(random_sets(measures.alive, int(sets["best-nu"].sum()), random, seed))


def replacing(sets: dict[str, Tensor]) -> list[Intervention]:
    """Each set's contribution added to base."""
    return [Intervention(name, latents_F) for name, latents_F in sets.items()]


def whole(kind: str, measures: Measures) -> list[Intervention]:
    """All latents, with and without the bias, and everything but them; a chat-SAE says nothing of base to add to."""
    whole_F = torch.ones_like(measures.alive)
    if kind == "crosscoder":
        return [
            Intervention("all", whole_F),
            Intervention("all-with-bias", whole_F, bias=True),
            Intervention("error", whole_F, start="chat"),
        ]
    if kind == "diff-sae":
        return [
            Intervention("full", whole_F, bias=True),
            Intervention("error", whole_F, start="chat", bias=True),
            Intervention("bias", ~whole_F, bias=True),
        ]
    return []


def biases(kind: str, sets: dict[str, Tensor]) -> list[Intervention]:
    """The constant part alone, added and, as a control, taken away; and a diff-SAE's halves with it."""
    none_F = torch.zeros_like(sets["best-nu"])
    minus = Intervention("minus-bias", none_F, bias=True, negated=True)
    if kind == "crosscoder":
        return [Intervention("bias", none_F, bias=True), minus]
    if kind == "diff-sae":
        return [minus, *(Intervention(f"{name}-with-bias", set_F, bias=True) for name, set_F in sets.items())]
    return []


def bias_difference(dictionary: Dictionary) -> Tensor:
    """Constant part [D] of what the dictionary says chat adds: b^c − b^b of a crosscoder, the offset of a diff-SAE."""
    offset_LD = offset(dictionary)
    return offset_LD[1] - offset_LD[0] if len(offset_LD) == 2 else offset_LD[0]


def edited_streams(dictionary: Dictionary, chosen: list[Intervention], x_TLD: Tensor, kept_T: Tensor) -> Tensor:
    """Streams [S, T, D] float32 under each intervention; tokens not ``kept`` are left as the start stream has them."""
    rows_CD, bias_D = contributions(dictionary), bias_difference(dictionary)
    chat_FD = dictionary.directions()[-1]
    index_K = kept_T.nonzero().flatten()
    token_N, row_N, value_N = contributed(dictionary, dictionary.codes(dictionary.read(x_TLD[index_K])))
    streams = []
    for intervention in chosen:
        in_N = intervention.latents_F.to(row_N.device)[row_N % len(chat_FD)]
        if intervention.additive:
            in_N = in_N & (row_N < len(chat_FD))
        rows = chat_FD if intervention.additive else rows_CD
        edit_KD = weighted_sums(rows, row_N[in_N], token_N[in_N], value_N[in_N], len(index_K))
        if intervention.bias:
            edit_KD = edit_KD + bias_D
        stream_TD = x_TLD[:, 1 if intervention.start == "chat" else 0].float()
        streams.append(stream_TD.index_add(0, index_K, intervention.sign * edit_KD))
    return torch.stack(streams)
