"""Which latents are patched, and the edited streams (study_spec §3.3 for crosscoders, §3.4 for SAEs).

    stream = start ± (Σ_{j in set} f_j·v_j + bias)      v_j: `attribution.directions.contribution`

Shapes: T positions, L models, F latents, D width.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from crossdiff.attribution.directions import contribution, offset
from crossdiff.attribution.sums import weighted_sums
from crossdiff.dictionaries.architecture import Dictionary

NU_RANGE = (-0.1, 2.0)
"""ν of a candidate latent of a crosscoder."""


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


@dataclass(frozen=True, eq=False)
class Measures:
    """What attribution says of each latent, float64 [F]; NaN where it is not defined. ``alive`` is bool."""

    alive: Tensor
    delta_norm: Tensor
    nu_reconstruction: Tensor
    nu_error: Tensor
    nu_activation: Tensor
    nu_valid: Tensor


def ascending(order_F: Tensor, allowed_F: Tensor) -> Tensor:
    """Numbers of the allowed latents, lowest ``order_F`` first; NaN is never allowed."""
    index = (allowed_F & ~order_F.isnan()).nonzero().flatten()
    return index[torch.argsort(order_F[index], stable=True)]


def rank(values_N: Tensor) -> Tensor:
    """Rank of each value, 0 for the lowest; equal values keep their order."""
    out_N = torch.empty_like(values_N, dtype=torch.float64)
    out_N[torch.argsort(values_N, stable=True)] = torch.arange(len(values_N), dtype=torch.float64)
    return out_N


def mask(index: Tensor, latents: int) -> Tensor:
    """Bool mask [F] of the numbered latents."""
    out_F = torch.zeros(latents, dtype=torch.bool)
    out_F[index] = True
    return out_F


def crosscoder_sets(measures: Measures, share: float) -> dict[str, Tensor]:
    """Best and worst halves of the candidates, by Δ_norm and by rank(ν_r) + rank(ν_ε).

    Candidates: of the live latents those ``share`` · F with the highest Δ_norm, and of these the ones with both ν in
    −0.1 … 2.
    """
    latents = len(measures.alive)
    top = ascending(-measures.delta_norm, measures.alive)[: round(share * latents)]
    low, high = NU_RANGE
    for nu_F in (measures.nu_reconstruction, measures.nu_error):
        top = top[(nu_F[top] >= low) & (nu_F[top] <= high)]
    by_nu = top[torch.argsort(rank(measures.nu_reconstruction[top]) + rank(measures.nu_error[top]), stable=True)]
    half = len(top) // 2
    halves = {"best-delta": top[:half], "worst-delta": top[len(top) - half :]}
    halves |= {"best-nu": by_nu[:half], "worst-nu": by_nu[len(top) - half :]}
    return {name: mask(index, latents) for name, index in halves.items()}


def sae_sets(measures: Measures, share: float) -> dict[str, Tensor]:
    """The latents of lowest |ν| and, as the study has it, the next ones, not the opposite tail; ν well posed."""
    latents = len(measures.alive)
    order = ascending(measures.nu_activation.abs(), measures.alive & measures.nu_valid)
    half = min(round(share * latents), len(order)) // 2
    return {"best-nu": mask(order[:half], latents), "worst-nu": mask(order[half : 2 * half], latents)}


def random_sets(alive_F: Tensor, size: int, count: int, seed: int) -> dict[str, Tensor]:
    """``count`` sets of ``size`` live latents drawn without regard to any measure."""
    alive = alive_F.nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    draws = [alive[torch.randperm(len(alive), generator=generator)[:size]] for _ in range(count)]
    return {f"random-{number}": mask(index, len(alive_F)) for number, index in enumerate(draws)}


def interventions(kind: str, measures: Measures, share: float, random: int, seed: int) -> list[Intervention]:
    """All interventions of a dictionary of this kind; a base-SAE has none, for it says nothing of chat."""
    if kind == "base-sae":
        return []
    sets = crosscoder_sets(measures, share) if kind == "crosscoder" else sae_sets(measures, share)
    sets |= random_sets(measures.alive, int(sets["best-nu"].sum()), random, seed)
    whole_F = torch.ones_like(measures.alive)
    full: list[Intervention] = []
    if kind == "crosscoder":
        full = [
            Intervention("all", whole_F),
            Intervention("all-with-bias", whole_F, bias=True),
            Intervention("error", whole_F, start="chat"),
        ]
    elif kind == "diff-sae":
        full = [
            Intervention("full", whole_F, bias=True),
            Intervention("error", whole_F, start="chat", bias=True),
            Intervention("bias", ~whole_F, bias=True),
        ]
    return full + [Intervention(name, latents_F) for name, latents_F in sets.items()]


def bias_difference(dictionary: Dictionary) -> Tensor:
    """Constant part [D] of what the dictionary says chat adds: b^c − b^b of a crosscoder, the offset of a diff-SAE."""
    offset_LD = offset(dictionary)
    return offset_LD[1] - offset_LD[0] if len(offset_LD) == 2 else offset_LD[0]


def edited_streams(dictionary: Dictionary, chosen: list[Intervention], x_TLD: Tensor, kept_T: Tensor) -> Tensor:
    """Streams [S, T, D] float32 under each intervention; tokens not ``kept`` are left as the start stream has them."""
    rows_FD, bias_D = contribution(dictionary), bias_difference(dictionary)
    index_K = kept_T.nonzero().flatten()
    token_N, latent_N, value_N = dictionary.codes(dictionary.read(x_TLD[index_K]))
    streams = []
    for intervention in chosen:
        in_N = intervention.latents_F.to(latent_N.device)[latent_N]
        edit_KD = weighted_sums(rows_FD, latent_N[in_N], token_N[in_N], value_N[in_N], len(index_K))
        if intervention.bias:
            edit_KD = edit_KD + bias_D
        stream_TD = x_TLD[:, 1 if intervention.start == "chat" else 0].float()
        sign = -1 if intervention.start == "chat" else 1
        streams.append(stream_TD.index_add(0, index_K, sign * edit_KD))
    return torch.stack(streams)
