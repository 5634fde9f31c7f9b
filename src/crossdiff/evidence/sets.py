"""Sets of latents that are patched together: halves of the candidates, those beyond a threshold, random ones.

Numerics only. Shapes: F latents, N some of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossdiff.attribution.order import rank

DELTA = 0.7
"""Δ_norm from which on a crosscoder's latents are patched together (study_spec §3.3)."""
NU = (0.6, 0.3)
"""Limits of |ν(activation)| for a crosscoder; the study has one more for SAEs (study_spec §3.4)."""
NU_SAE = (*NU, 0.1)


@dataclass(frozen=True)
class Candidates:
    """Which latents the halves are taken from."""

    share: float
    """Of all latents."""
    latents: int | None = None
    """Their number, in place of the share."""
    nu_range: tuple[float, float] = (-0.1, 2.0)
    """ν_r and ν_ε of a crosscoder's candidate."""

    def count(self, latents: int) -> int:
        """Candidates of a dictionary with so many ``latents``, at most."""
        return round(self.share * latents) if self.latents is None else self.latents


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


def mask(index: Tensor, latents: int) -> Tensor:
    """Bool mask [F] of the numbered latents."""
    out_F = torch.zeros(latents, dtype=torch.bool)
    out_F[index] = True
    return out_F


def crosscoder_candidates(measures: Measures, candidates: Candidates) -> Tensor:
    """Numbers of a crosscoder's candidates, highest Δ_norm first.

    The ``share`` · F live latents of highest Δ_norm; or, the study's rule, of the ``latents`` with the highest Δ_norm
    the live ones. Of these the ones with both ν in range.
    """
    alive = measures.alive
    if candidates.latents is None:
        top = ascending(-measures.delta_norm, alive)[: candidates.count(len(alive))]
    else:
        top = ascending(-measures.delta_norm, torch.ones_like(alive))[: candidates.count(len(alive))]
        top = top[alive[top]]
    low, high = candidates.nu_range
    for nu_F in (measures.nu_reconstruction, measures.nu_error):
        top = top[(nu_F[top] >= low) & (nu_F[top] <= high)]
    return top


def by_nu(kind: str, measures: Measures, candidates: Candidates) -> Tensor:
    """Numbers of the latents from the most to the least chat-specific, as far as ν says so.

    Candidates of a crosscoder by rank(ν_r) + rank(ν_ε); live latents of an SAE whose ν is well posed by |ν|.
    """
    if kind != "crosscoder":
        return ascending(measures.nu_activation.abs(), measures.alive & measures.nu_valid)
    top = crosscoder_candidates(measures, candidates)
    return top[torch.argsort(rank(measures.nu_reconstruction[top]) + rank(measures.nu_error[top]), stable=True)]


def crosscoder_sets(measures: Measures, candidates: Candidates) -> dict[str, Tensor]:
    """Best and worst halves of the candidates, by Δ_norm and by rank(ν_r) + rank(ν_ε)."""
    by_delta = crosscoder_candidates(measures, candidates)
    order, half = by_nu("crosscoder", measures, candidates), len(by_delta) // 2
    halves = {"best-delta": by_delta[:half], "worst-delta": by_delta[len(by_delta) - half :]}
    halves |= {"best-nu": order[:half], "worst-nu": order[len(order) - half :]}
    return {name: mask(index, len(measures.alive)) for name, index in halves.items()}


def sae_sets(measures: Measures, candidates: Candidates) -> dict[str, Tensor]:
    """The latents of lowest |ν| and, as the study has it, the next ones, not the opposite tail; ν well posed."""
    order, half = _sae_half(measures, candidates)
    sets = {"best-nu": order[:half], "worst-nu": order[half : 2 * half]}
    return {name: mask(index, len(measures.alive)) for name, index in sets.items()}


def opposite_set(measures: Measures, candidates: Candidates) -> dict[str, Tensor]:
    """As many latents of an SAE as a half has, those of highest |ν|."""
    order, half = _sae_half(measures, candidates)
    return {"opposite-nu": mask(order[len(order) - half :], len(measures.alive))}


def _sae_half(measures: Measures, candidates: Candidates) -> tuple[Tensor, int]:
    order = by_nu("sae", measures, candidates)
    return order, min(candidates.count(len(measures.alive)), len(order)) // 2


def threshold_sets(kind: str, measures: Measures) -> dict[str, Tensor]:
    """All live latents beyond a threshold: Δ_norm ≥ 0.7 (crosscoders), and a well-posed |ν| up to each limit."""
    well_F, nu_F = measures.alive & measures.nu_valid, measures.nu_activation.abs()
    crosscoder = kind == "crosscoder"
    sets = {f"delta-{DELTA}": measures.alive & (measures.delta_norm >= DELTA)} if crosscoder else {}
    return sets | {f"nu-{limit}": well_F & (nu_F <= limit) for limit in (NU if crosscoder else NU_SAE)}


def random_sets(alive_F: Tensor, size: int, count: int, seed: int) -> dict[str, Tensor]:
    """``count`` sets of ``size`` live latents drawn without regard to any measure."""
    alive = alive_F.nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    draws = [alive[torch.randperm(len(alive), generator=generator)[:size]] for _ in range(count)]
    return {f"random-{number}": mask(index, len(alive_F)) for number, index in enumerate(draws)}
