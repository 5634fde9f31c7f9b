"""Accuracy of verdicts by group, with the study's total, its line of chance and intervals (study_spec §3.7).

    total   = mean of the accuracies on silent texts (random or similar), and on the middle and the strong third
    chance  = what the same share p of yes gives whatever the texts: (1 + p) / 3, p the mean share over these groups

A judge that always says yes has a total of 2/3, and so has its chance: what counts is the distance between the two.
Intervals: 95 % percentile bootstrap in which rows and latents are resampled independently, a verdict weighing by the
product of how often its row and its latent were drawn (Owen 2007, the pigeonhole bootstrap). Of a single latent only
the rows are resampled.

Shapes: V verdicts, G groups, K resamples.
"""

from dataclasses import dataclass

import numpy as np

from crossdiff.evidence.interpretation.sampling import GROUPS, SILENT, THIRDS
from crossdiff.evidence.intervals import LEVEL

AT_ONCE = 2**22
"""Weights held at once."""
Interval = dict[str, float]


@dataclass(frozen=True)
class Verdicts:
    """What the scorer said of texts."""

    latent_V: np.ndarray
    row_V: np.ndarray
    group_V: np.ndarray
    """Number into `GROUPS`."""
    yes_V: np.ndarray
    """bool"""

    def of(self, mask_V: np.ndarray) -> "Verdicts":
        """Those that are marked."""
        return Verdicts(self.latent_V[mask_V], self.row_V[mask_V], self.group_V[mask_V], self.yes_V[mask_V])


def numbers(yes_KG: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy of each group, totals and their chance [K], from the share of yes in each group; NaN where one lacks."""
    by_name = dict(zip(GROUPS, np.moveaxis(yes_KG, -1, 0), strict=True))
    accuracy = {name: yes if name in THIRDS else 1 - yes for name, yes in by_name.items()}
    out = dict(accuracy)
    for kind in SILENT:
        used = (kind, *THIRDS[1:])
        out[f"total_{kind}"] = np.mean([accuracy[name] for name in used], axis=0)
        out[f"chance_{kind}"] = (1 + np.mean([by_name[name] for name in used], axis=0)) / 3
        out[f"margin_{kind}"] = out[f"total_{kind}"] - out[f"chance_{kind}"]
    return out


def shares(verdicts: Verdicts, weight_KV: np.ndarray) -> np.ndarray:
    """Weighted share of yes in each group, [K, G]; NaN where nothing has weight."""
    member_VG = np.eye(len(GROUPS))[verdicts.group_V]
    with np.errstate(invalid="ignore"):
        return (weight_KV @ (member_VG * verdicts.yes_V[:, None])) / (weight_KV @ member_VG)


def summary(verdicts: Verdicts, resamples: int, seed: int) -> dict[str, Interval]:
    """{mean, low, high, n} of each number; n is the number of rows. Numbers without verdicts are left out."""
    if not len(verdicts.yes_V):
        return {}
    rows, row_V = np.unique(verdicts.row_V, return_inverse=True)
    latents, latent_V = np.unique(verdicts.latent_V, return_inverse=True)
    point = {name: float(v[0]) for name, v in numbers(shares(verdicts, np.ones((1, len(row_V))))).items()}
    rng = np.random.default_rng(seed)
    step = max(1, AT_ONCE // len(row_V))
    drawn = []
    for first in range(0, resamples, step):
        count = min(step, resamples - first)
        weight_KV = counts(rng, count, len(rows))[:, row_V].astype(float)
        if len(latents) > 1:
            weight_KV *= counts(rng, count, len(latents))[:, latent_V]
        drawn.append(shares(verdicts, weight_KV))
    spread = numbers(np.concatenate(drawn))
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    out = {}
    for name, value in point.items():
        if not np.isnan(value):
            low, high = np.nanquantile(spread[name], tails)
            out[name] = {"mean": value, "low": float(low), "high": float(high), "n": len(rows)}
    return out


def counts(rng: np.random.Generator, resamples: int, things: int) -> np.ndarray:
    """How often each thing is drawn when as many are drawn with replacement, [resamples, things]."""
    return rng.multinomial(things, np.full(things, 1 / things), size=resamples)
