"""Null latents and a dictionary's latents -> calls at a stated false discovery rate. Numerics only.

Latents come as named arrays [F], the columns of the latent table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossdiff.evidence.calls.calibration import Array, least_calls, q_values
from crossdiff.evidence.calls.criteria import (
    BALANCED,
    CRITERIA,
    DEAD,
    NONE,
    UNDETERMINED,
    Latents,
    column,
)
from crossdiff.evidence.calls.testing import criterion_p


@dataclass(frozen=True, eq=False)
class Called:
    """What was decided about the latents of one dictionary of one seed."""

    call: np.ndarray
    """[F] of str: a criterion's call, "none", "undetermined" or "dead"."""
    p: dict[str, Array]
    """Call -> p of every latent [F]; NaN where it was not tested."""
    q: dict[str, Array]
    """Call -> Benjamini–Hochberg q [F]."""
    nulls: dict[str, int]
    """Call -> null latents that calibrated it."""
    least: dict[str, int]
    """Call -> how many latents of smallest attainable p must agree before any can be called."""


def call(latents: Latents, nulls: Sequence[Latents], kind: str, level: float) -> Called:
    """Call the latents of one dictionary at false discovery rate ``level``, calibrated on null ones of its kind."""
    p: dict[str, Array] = {}
    q: dict[str, Array] = {}
    counts: dict[str, int] = {}
    least: dict[str, int] = {}
    for criterion in CRITERIA[kind]:
        name = criterion.call
        p[name], counts[name] = criterion_p(latents, nulls, criterion)
        q[name] = q_values(p[name])
        least[name] = least_calls(counts[name], int((~np.isnan(p[name])).sum()), level)
    return Called(decide(latents, q, level), p, q, counts, least)


def decide(latents: Latents, q: dict[str, Array], level: float) -> np.ndarray:
    """One call a latent [F] from its q-values; the first that holds, in the order of ``q``.

    Chat- and base-specific at once means two directions for one code: rotated, or that model's whose row is more than
    twice as strong. A latent is undetermined if none of its criteria of exclusivity could be tested.
    """
    dead = latents["dead"].astype(bool)
    out = np.full(len(dead), NONE, dtype=object)
    for name in reversed(q):
        out[q[name] <= level] = name
    if "rotated" in q:
        both, delta = (q["chat-specific"] <= level) & (q["base-specific"] <= level), column(latents, "delta_fitted")
        out[both] = np.select(
            [delta < BALANCED[0], delta > BALANCED[1]], ["base-specific", "chat-specific"], "rotated"
        )[both]
    exclusive = [name for name in ("chat-specific", "base-specific") if name in q]
    untested = np.all([np.isnan(q[name]) for name in exclusive], axis=0)
    out[untested & (out == NONE)] = UNDETERMINED
    out[dead] = DEAD
    return out
