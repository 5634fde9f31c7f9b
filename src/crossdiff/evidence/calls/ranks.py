"""Would the ranks alone keep their level? How often p of a latent known to be null is small, over what is stated.

A call needs a rank and a claim, and the claim's bound stops nearly all null latents by itself, so that an observed rate
of false calls says little of the ranks. Here they are looked at without it: P(p ≤ α) / α over held-out null latents,
1 where they are exchangeable with those that calibrate. Far above 1 one null does not stand in for the other in the
tail, and calls rest on the bound.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from crossdiff.evidence.calls.calibration import p_values
from crossdiff.evidence.calls.criteria import CRITERIA, Criterion, Latents
from crossdiff.evidence.calls.honesty import SAME
from crossdiff.evidence.calls.nulls import Known
from crossdiff.evidence.calls.testing import scores

LEVELS = (0.05, 0.01)
"""α: where many null latents lie, and the smallest at which a study's few thousand still say something."""


def excess(latents: Latents, nulls: list[Latents], criterion: Criterion, among_F: np.ndarray) -> list[float | None]:
    """P(p ≤ α) / α of the tested latents among ``among`` [F], at each level; None if none is tested."""
    z, null = scores(latents, nulls, criterion)
    p = p_values(z, null, criterion.tail)[among_F]
    p = p[~np.isnan(p)]
    return [float((p <= level).mean() / level) if len(p) else None for level in LEVELS]


def ranks(sources: list[Known], kind: str) -> list[dict[str, Any]]:
    """{source, call, level, excess: a list over seeds}: nulls held out by seed, the unchanged latents of the synthetic
    pair, and each null on the other."""
    out: dict[tuple[str, str, float], list[float | None]] = {}
    for name, latents, nulls, among_F in cases(sources):
        for criterion in CRITERIA[kind]:
            for level, value in zip(LEVELS, excess(latents, nulls, criterion, among_F), strict=True):
                out.setdefault((name, criterion.call, level), []).append(value)
    return [
        {"source": name, "call": call, "level": level, "excess": values} for (name, call, level), values in out.items()
    ]


def cases(sources: list[Known]) -> Iterator[tuple[str, Latents, list[Latents], np.ndarray]]:
    """(what is tested, its latents, null latents that calibrate, which of its latents are null [F])."""
    for source in sources:
        for seed, latents in source.null.items():
            if others := without(source.null, seed):
                yield f"{source.name} null", latents, others, np.ones(len(latents["dead"]), dtype=bool)
            for other in sources:
                if other is not source:
                    named = f"{source.name} null, calibrated on {other.name}"
                    yield named, latents, list(other.null.values()), np.ones(len(latents["dead"]), dtype=bool)
        for seed, latents in source.pair.items():
            if others := without(source.null, seed):
                yield f"{source.name} pair, {SAME} factors", latents, others, source.truth[seed] == SAME


def without(tables: Mapping[int, Latents], seed: int) -> list[Latents]:
    """The tables of the other seeds."""
    return [table for other, table in tables.items() if other != seed]
