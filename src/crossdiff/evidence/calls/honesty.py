"""Is the stated false discovery rate the one that is met? Checked on latents whose answer is known.

One dictionary of one seed is held out; the null latents of the other seeds calibrate. On a held-out null every call is
false. On a pair with known factors a call is false if the latent's factor is of another class. Latents that follow no
factor have no answer: they count neither way, and how many were called is reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossdiff.evidence.calls.calling import call
from crossdiff.evidence.calls.criteria import CRITERIA, Latents, fixed

LEVELS = (0.05, 0.1, 0.2)
CALLS = ("chat-specific", "base-specific", "rotated", "rescaled")
TRUE: dict[str, tuple[str, ...]] = {
    "chat-specific": ("chat-only", "child-new"),
    "base-specific": ("base-only",),
    "rotated": ("rotated",),
    "rescaled": ("rescaled",),
}
"""Call -> classes of factors it is right for."""
OPEN: dict[str, tuple[str, ...]] = {"chat-sae": ("rotated",), "base-sae": ("rotated",)}
"""Classes that a kind of dictionary cannot tell from an exclusive one: an SAE of one model sees only that a direction
is new, not which other one it took the place of. They count neither way."""
ANY = "any change"
"""The union of all calls: right for every factor that is not the same in both models. Not asked of diff-SAEs: a factor
that is the same leaves no difference that a latent could follow, so no such call could be found to be wrong."""
SAME = "identical"


@dataclass(frozen=True)
class Check:
    """Calls of one criterion on one held-out dictionary."""

    criterion: str
    call: str
    nominal: float | None
    """Stated rate; None for a fixed threshold, which states none."""
    seed: int
    called: int
    """Calls on latents with an answer."""
    observed: float
    """Share of them that are false; 0 if there are none."""
    recall: float
    """Share of the latents that should be called; NaN if there are none."""
    unmatched: int
    """Calls on latents without an answer."""


def score(called: np.ndarray, right: np.ndarray, known: np.ndarray) -> tuple[int, float, float, int]:
    """(calls with an answer, false share of them, recall, calls without an answer) of masks [F]."""
    judged = called & known
    true = right & known
    observed = float((judged & ~right).sum() / judged.sum()) if judged.any() else 0.0
    recall = float((judged & right).sum() / true.sum()) if true.any() else float("nan")
    return int(judged.sum()), observed, recall, int((called & ~known).sum())


def held_out(
    tables: Mapping[int, Latents],
    nulls: Mapping[int, Latents],
    kind: str,
    truth: Mapping[int, np.ndarray] | None,
    levels: Sequence[float] = LEVELS,
) -> Iterator[Check]:
    """Every criterion on each seed's table, calibrated on the null tables of the other seeds.

    ``truth`` gives each latent's class of factor [F] of str, "" where it follows none; None: all latents are null.
    Nothing is yielded for a seed without another one's null.
    """
    for seed, latents in tables.items():
        others = [table for other, table in nulls.items() if other != seed]
        if not others:
            continue
        classes = np.full(len(latents["dead"]), SAME, dtype=object) if truth is None else truth[seed]
        known = (classes != "") & ~np.isin(classes, OPEN.get(kind, ()))
        for (name, what), mask in fixed(latents, kind).items():
            yield Check(name, what, None, seed, *score(mask, np.isin(classes, TRUE[what]), known))
        for level in levels:
            given = call(latents, others, kind, level).call
            for what in (criterion.call for criterion in CRITERIA[kind]):
                yield Check("calibrated", what, level, seed, *score(given == what, np.isin(classes, TRUE[what]), known))
            if kind == "diff-sae":
                continue
            changed = np.isin(given, CALLS)
            yield Check("calibrated", ANY, level, seed, *score(changed, classes != SAME, classes != ""))
