"""What a latent can be called, from which number, and when: the calibrated criteria and the literature's thresholds.

A calibrated call needs two things at once, so its p-value is the larger of two (an intersection-union test,
Berger 1982; `testing` makes them):

    unlike nothing    the statistic is further out than null latents are (`calibration`)
    like the claim    the effect is of the kind that is claimed, by the latent's own interval: a chat-specific latent's
                      direction is used by the base at less than a fifth of the chat model's strength, not a little less

    chat-specific     ν (centred) along d^c low            and |ν| < 0.2: not with the opposite sign either
    base-specific     ν (centred) along d^b low            and |ν| < 0.2
    rotated           the larger of both ν low             and both < 0.9: each model follows the other's direction less
                                                           than its own; neither row twice as strong as the other
    rescaled          log strength of d^c over d^b far off and the weaker row at least a fifth weaker, but not by four
                                                           fifths; both rows less than 26° apart

A diff-SAE's ν is ill-posed; its latents are called by their separation (`attribution.separation`), and only chat- or
base-specific. Latents whose denominators are not clear of zero, or that fired on too few blocks of rows, are not
tested.

Latents come as named arrays [F], the columns of the latent table.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossdiff.attribution.specific import NU_ACTIVATION, by_pair
from crossdiff.evidence.calls.calibration import Array, Tail

Latents = Mapping[str, np.ndarray]
EXCLUSIVE = 0.2
"""|ν| below which a direction counts as one model's: the study's bound on ν_ε (study_spec §1.7)."""
TURNED = 1 - EXCLUSIVE / 2
"""ν of both directions below which one code has two of them: rows of equal strength are then 26° apart or more."""
BALANCED = (0.25, 0.75)
"""Δ between which neither row is more than twice as strong as the other."""
UNEQUAL = -math.log(1 - EXCLUSIVE)
"""Size of the log ratio of both rows' strengths above which the weaker one is at least a fifth weaker."""
SHARED = (EXCLUSIVE / 2, 1 - EXCLUSIVE / 2)
"""Δ between which the weaker row has more than a fifth of the other's strength: both models have the latent."""
ALIKE = 0.9
"""Cosine of both rows above which they point the same way: less than 26° apart. Below it a latent of several factors,
one of which changed, passes for a rescaled one."""
MIN_BLOCKS = 5
"""Blocks of rows a latent must have fired on for an interval over blocks to mean anything."""


@dataclass(frozen=True)
class Number:
    """A number of a latent: the largest of ``columns``, with that one's error."""

    columns: tuple[str, ...]
    errors: tuple[str, ...] = ()
    """A column of errors for each; none where the number is exact."""
    valid: tuple[str, ...] = ()
    """Columns that say whether it is well posed."""

    def of(self, latents: Latents) -> tuple[Array, Array]:
        """(value, error) of every latent, each [F]; the value is NaN where one of the columns is or is ill-posed."""
        values_CF = np.stack([column(latents, name) for name in self.columns])
        value = values_CF.max(0)
        for name in self.valid:
            value[~latents[name].astype(bool)] = np.nan
        if not self.errors:
            return value, np.zeros(len(value))
        errors_CF = np.stack([column(latents, name) for name in self.errors])
        return value, np.take_along_axis(errors_CF, values_CF.argmax(0)[None], 0)[0]


@dataclass(frozen=True)
class Bound:
    """A number lies below (or above) ``value``, judged by the interval that its error gives."""

    number: Number
    value: float
    below: bool
    size: bool = False
    """Whether the bound is on the number's size, whatever its sign; it is then above ``value``."""

    def beyond(self, latents: Latents) -> tuple[Array, Array]:
        """(how far each latent lies on the bound's side, error), each [F]; negative on the other side."""
        value, error = self.number.of(latents)
        value = np.abs(value) if self.size else value
        return (self.value - value if self.below else value - self.value), error


@dataclass(frozen=True)
class Criterion:
    """One thing a latent can be called."""

    call: str
    statistic: Number
    tail: Tail
    bounds: tuple[Bound, ...]
    """The claim."""
    among: tuple[Bound, ...] = ()
    """What a latent must be by its own estimates to be compared at all, on the pair and among the nulls; part of the
    claim, too. A null latent one of whose rows is gone says nothing on how far the rows of whole ones drift apart."""
    own_bulk: bool = True
    """Whether most latents of any pair's dictionary are null for it, so that they can set centre and spread."""


def _measured(name: str, side: str = "", valid: bool = False) -> Number:
    return Number((f"{name}{side}",), (f"{name}_se{side}",), (f"{name}_valid{side}",) if valid else ())


def _within(number: Number, limits: tuple[float, float]) -> tuple[Bound, Bound]:
    """The number lies between both limits."""
    return Bound(number, limits[0], below=False), Bound(number, limits[1], below=True)


def _specific(call: str, nu: Number) -> Criterion:
    return Criterion(call, nu, "lower", _within(nu, (-EXCLUSIVE, EXCLUSIVE)))


def _separating(call: str, model: str, tail: Tail) -> Criterion:
    claim = Bound(_measured(f"separation_{model}_margin"), 0, below=False)
    return Criterion(call, _measured("separation_difference"), tail, (claim,), own_bulk=False)


NU, NU_BASE = (_measured("nu_centred", side, valid=True) for side in ("", "_base"))
DELTA, STRENGTH = _measured("delta_fitted"), _measured("strength_ratio")
BOTH_NU = Number(NU.columns + NU_BASE.columns, NU.errors + NU_BASE.errors, NU.valid + NU_BASE.valid)
CHAT, BASE = _specific("chat-specific", NU), _specific("base-specific", NU_BASE)
ROTATED = Criterion(
    "rotated", BOTH_NU, "lower", tuple(Bound(nu, TURNED, below=True) for nu in (NU, NU_BASE)), _within(DELTA, BALANCED)
)
RESCALED = Criterion(
    "rescaled",
    STRENGTH,
    "both",
    (Bound(STRENGTH, UNEQUAL, below=False, size=True),),
    among=(*_within(DELTA, SHARED), Bound(Number(("cosine",)), ALIKE, below=False)),
)
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


def column(latents: Latents, name: str) -> Array:
    """A column as float64."""
    return np.asarray(latents[name], dtype=np.float64)


def statistic(latents: Latents, kind: str, call: np.ndarray) -> tuple[Array, Array, np.ndarray]:
    """(value, error, columns it is the larger of) of the statistic behind each latent's ``call``, each [F].

    Of latents that are called nothing it is the first criterion's; the value is NaN where it is ill-posed.
    """
    first, *others = CRITERIA[kind]
    value, error = first.statistic.of(latents)
    name = np.full(len(call), ", ".join(first.statistic.columns), dtype=object)
    for criterion in others:
        mine = call == criterion.call
        for kept, own in zip((value, error), criterion.statistic.of(latents), strict=True):
            kept[mine] = own[mine]
        name[mine] = ", ".join(criterion.statistic.columns)
    return value, error, name


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
