"""What a latent can be called, from which number, and when: the calibrated criteria and the literature's thresholds.

A calibrated call needs two things at once, so its p-value is the larger of two (an intersection-union test,
Berger 1982):

    unlike nothing    the statistic is further out than null latents are (`calibration`)
    like the claim    the effect is of the kind that is claimed, by the latent's own interval: a chat-specific latent's
                      direction is used by the base at less than a fifth of the chat model's strength, not a little less

    chat-specific     ν (centred) along d^c low            and |ν| < 0.2: not with the opposite sign either
    base-specific     ν (centred) along d^b low            and |ν| < 0.2
    rotated           cos(d^b, d^c) low                    and neither row more than twice as strong as the other;
                      also whatever is called chat- and base-specific at once: one code, two directions
    rescaled          log strength of d^c over d^b far off and the weaker row at more than a fifth of the other, so
                      that it is not one model's alone; what is rotated too is called that

A diff-SAE's ν is ill-posed; its latents are called by their separation (`attribution.separation`), and only chat- or
base-specific. Latents whose denominators are not clear of zero, or that fired on too few blocks of rows, are not
tested.

Latents come as named arrays [F], the columns of the latent table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from crossdiff.attribution.specific import NU_ACTIVATION, by_pair
from crossdiff.evidence.calls.calibration import Array, Bulk, Tail, p_values, standardise

Latents = Mapping[str, np.ndarray]
EXCLUSIVE = 0.2
"""|ν| below which a direction counts as one model's: the study's bound on ν_ε (study_spec §1.7)."""
BALANCED = (0.25, 0.75)
"""Δ between which neither row is more than twice as strong as the other."""
SHARED = (EXCLUSIVE / 2, 1 - EXCLUSIVE / 2)
"""Δ between which the weaker row has more than that part of the other's strength: both models have the latent."""
MIN_BLOCKS = 5
"""Blocks of rows a latent must have fired on for an interval over blocks to mean anything."""


@dataclass(frozen=True)
class Bound:
    """``column`` lies below (or above) ``value``, judged by the interval that its error ``se`` gives."""

    column: str
    se: str
    value: float
    below: bool


@dataclass(frozen=True)
class Criterion:
    """One thing a latent can be called."""

    call: str
    statistic: str
    tail: Tail
    bounds: tuple[Bound, ...]
    valid: str | None = None
    """Column that says whether the statistic is well posed."""
    own_bulk: bool = True
    """Whether most latents of any pair's dictionary are null for it, so that they can set centre and spread."""


def _within(column: str, se: str, limits: tuple[float, float]) -> tuple[Bound, Bound]:
    """``column`` lies between both limits."""
    return Bound(column, se, limits[0], below=False), Bound(column, se, limits[1], below=True)


def _specific(call: str, side: str) -> Criterion:
    nu = f"nu_centred{side}"
    bounds = _within(nu, f"nu_centred_se{side}", (-EXCLUSIVE, EXCLUSIVE))
    return Criterion(call, nu, "lower", bounds, f"nu_centred_valid{side}")


def _separating(call: str, model: str, tail: Tail) -> Criterion:
    bound = Bound(f"separation_{model}_margin", f"separation_{model}_margin_se", 0, below=False)
    return Criterion(call, "separation_difference", tail, (bound,), own_bulk=False)


CHAT, BASE = _specific("chat-specific", ""), _specific("base-specific", "_base")
ROTATED = Criterion("rotated", "cosine", "lower", _within("delta_fitted", "delta_fitted_se", BALANCED))
RESCALED = Criterion("rescaled", "strength_ratio", "both", _within("delta_fitted", "delta_fitted_se", SHARED))
CRITERIA: dict[str, tuple[Criterion, ...]] = {
    "crosscoder": (CHAT, BASE, ROTATED, RESCALED),
    "chat-sae": (CHAT,),
    "base-sae": (BASE,),
    "diff-sae": (
        _separating("chat-specific", "chat", "upper"),
        _separating("base-specific", "base", "lower"),
    ),
}
"""Criteria by kind of dictionary, in the order in which a call is given."""
NONE, UNDETERMINED, DEAD = "none", "undetermined", "dead"


def statistic(latents: Latents, criterion: Criterion) -> Array:
    """The criterion's statistic [F]; NaN where it must not be used."""
    value = column(latents, criterion.statistic).copy()
    value[~testable(latents)] = np.nan
    if criterion.valid is not None:
        value[~latents[criterion.valid].astype(bool)] = np.nan
    return value


def testable(latents: Latents) -> np.ndarray:
    """Latents that fired on enough blocks [F]."""
    return np.asarray(latents["active_blocks"] >= MIN_BLOCKS)


def column(latents: Latents, name: str) -> Array:
    """A column as float64."""
    return np.asarray(latents[name], dtype=np.float64)


def scores(latents: Latents, nulls: Sequence[Latents], criterion: Criterion) -> tuple[Array, Array]:
    """z of a dictionary's latents [F], and of all testable latents of the null dictionaries together.

    Each dictionary is measured against its own bulk; where no bulk is null, all against that of the null latents.
    """
    known = [(statistic(table, criterion), column(table, "frequency")) for table in nulls]
    empty = np.zeros(0)
    value = np.concatenate([empty, *(value for value, _ in known)])
    frequency = np.concatenate([empty, *(frequency for _, frequency in known)])
    own = statistic(latents, criterion), column(latents, "frequency")
    if criterion.own_bulk:
        z, null = standardise(*own), np.concatenate([empty, *(standardise(*each) for each in known)])
    else:
        bulk = Bulk.of(value, frequency)
        z, null = bulk.z(*own), bulk.z(value, frequency)
    return z, null[~np.isnan(null)]


def bound_p(latents: Latents, bound: Bound) -> Array:
    """p [F] against the hypothesis that the bound does not hold: t = (value − bound)/se, active blocks − 1 d.f.

    1 where the error is not known.
    """
    value, se = column(latents, bound.column), column(latents, bound.se)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (value - bound.value) / se
    freedom = np.maximum(column(latents, "active_blocks") - 1, 1)
    p = student.cdf(t if bound.below else -t, freedom)
    return np.where(np.isfinite(se) & ~np.isnan(p), p, 1.0)


def criterion_p(latents: Latents, nulls: Sequence[Latents], criterion: Criterion) -> tuple[Array, int]:
    """p [F] of one criterion, NaN for latents that are not tested, and how many null latents calibrated it."""
    z, null = scores(latents, nulls, criterion)
    p = p_values(z, null, criterion.tail)
    for bound in criterion.bounds:
        p = np.where(np.isnan(p), p, np.maximum(p, bound_p(latents, bound)))
    return p, len(null)


def fixed(latents: Latents, kind: str) -> dict[tuple[str, str], np.ndarray]:
    """The literature's thresholds: (criterion, call) -> latents [F] that they call. study_spec §1.6, §1.7.

    Δ_norm > 0.9 and < 0.1; |ν_r| < 0.5 and |ν_ε| < 0.2 (crosscoder); |ν| < 0.3 where ν is well posed.
    """
    live = ~latents["dead"].astype(bool)
    valid = live & latents["nu_valid"].astype(bool)
    with np.errstate(invalid="ignore"):
        out = {("nu_0.3", "chat-specific"): valid & (np.abs(column(latents, "nu_activation")) < NU_ACTIVATION)}
        if kind != "crosscoder":
            return out
        for side, call, own in (("", "chat-specific", 0.9), ("_base", "base-specific", 0.1)):
            delta = column(latents, "delta_norm")
            out[("delta_norm", call)] = live & (delta > own if own > 0.5 else delta < own)
            reconstruction, error = (column(latents, f"nu_{target}{side}") for target in ("reconstruction", "error"))
            out[("nu_pair", call)] = live & by_pair(reconstruction, error)
        return out
