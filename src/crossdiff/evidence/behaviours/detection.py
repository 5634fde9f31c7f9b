"""Is a behaviour to be seen before its answer exists? Scores of prompts that show it against controls.

Readings of a prompt (latents' codes, projections) are chosen, and a threshold is fixed, on other prompts than the ones
that are scored. Each interval counts prompts, the unit that was drawn; none shrinks to a point where a score is
perfect: with twelve prompts against six an area of 1 leaves room for 0.8.

Shapes: N prompts, C candidate readings, K chosen ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binomtest, norm, rankdata

from crossdiff.errors import UserError
from crossdiff.evidence.intervals import LEVEL

Array = NDArray[np.floating]
LEAST = 2
"""Prompts of each kind without which nothing is chosen or scored."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A few standardised readings added up, and the threshold above which the behaviour is expected."""

    columns: list[int]
    """Chosen readings [K], strongest first; [] if none told the prompts apart."""
    weight_K: Array
    """Signed 1 / spread of each."""
    threshold: float
    """Midway between the mean scores of both kinds of prompts that the readings were chosen on."""

    def score(self, reading_NC: Array) -> Array:
        """Score [N] of prompts; 0 for all if nothing was chosen."""
        return np.asarray(reading_NC[:, self.columns] @ self.weight_K, dtype=np.float64)


def fit(
    reading_NC: Array, shows_N: NDArray[np.bool_], count: int, allowed_C: NDArray[np.bool_] | None = None
) -> Detector:
    """Choose at most ``count`` of the ``allowed`` readings on these prompts: those of largest |gap| / (spread + s₀).

    gap is the difference of the means on prompts that show the behaviour and on controls, spread the pooled standard
    deviation. s₀, the median spread of the readings that move at all, keeps one that hardly moves from winning by a
    denominator near zero (Tusher, Tibshirani & Chu 2001). UserError with fewer than two prompts of either kind.
    """
    both = [reading_NC[shows_N].astype(np.float64), reading_NC[~shows_N].astype(np.float64)]
    if min(map(len, both)) < LEAST:
        raise UserError(
            "a detector needs two prompts that show the behaviour and two controls; raise behaviour_prompts"
        )
    gap_C = both[0].mean(0) - both[1].mean(0)
    squares_C = sum(np.square(part - part.mean(0)).sum(0) for part in both)
    spread_C = np.sqrt(squares_C / (len(reading_NC) - 2))
    moving_C = spread_C > 0
    floor = float(np.median(spread_C[moving_C])) if moving_C.any() else 1.0
    effect_C = np.abs(gap_C) / (spread_C + floor)
    if allowed_C is not None:
        effect_C = np.where(allowed_C, effect_C, 0.0)
    order = np.argsort(-effect_C, kind="stable")[:count]
    columns = [int(column) for column in order if effect_C[column] > 0]
    weight_K = np.sign(gap_C[columns]) / (spread_C[columns] + floor)
    means = [(part[:, columns] @ weight_K).mean() for part in both]
    return Detector(columns, weight_K, float(sum(means) / 2))


def auroc(shown: Array, control: Array) -> float:
    """P(score of a prompt that shows the behaviour > score of a control), ties counted half; NaN if either is empty."""
    if not len(shown) or not len(control):
        return float("nan")
    rank = rankdata(np.concatenate([shown, control]))[: len(shown)].sum()
    return float((rank - len(shown) * (len(shown) + 1) / 2) / (len(shown) * len(control)))


def auroc_interval(area: float, shown: int, control: int) -> tuple[float, float]:
    """95 % score interval of an AUROC of ``shown`` against ``control`` prompts.

    The areas θ with |area − θ| ≤ z·√V(θ), V = θ(1 − θ)(1 + n*(1 − θ)/(2 − θ) + n*θ/(1 + θ)) / (m·n),
    n* = (m + n)/2 − 1 (Newcombe 2006, Statistics in Medicine 25:559, method 5).
    """
    z, extra = norm.ppf((1 + LEVEL) / 2), (shown + control) / 2 - 1

    def beyond(theta: float) -> float:
        spread = theta * (1 - theta) * (1 + extra * (1 - theta) / (2 - theta) + extra * theta / (1 + theta))
        return float(abs(area - theta) - z * np.sqrt(spread / (shown * control)))

    return _end(beyond, 0.0, area), _end(beyond, 1.0, area)


def _end(beyond: Callable[[float], float], outer: float, area: float) -> float:
    """Where ``beyond`` changes its sign between ``outer`` and just beside ``area``; ``outer`` if it is ``area``."""
    inner = area + np.sign(outer - area) * 1e-9
    return float(brentq(beyond, outer, inner)) if abs(outer - area) > 1e-9 else outer


def accuracy(shown: Array, control: Array, threshold: float) -> dict[str, float | int]:
    """Balanced accuracy at a threshold fixed before: mean of the shares of both kinds that are on their side of it.

    {mean, low, high, n}: the shares' 95 % Wilson intervals are joined by MOVER (Zou & Donner 2008); n is all prompts.
    """
    right = [int((shown > threshold).sum()), int((control <= threshold).sum())]
    counts = [len(shown), len(control)]
    shares = [hits / count for hits, count in zip(right, counts, strict=True)]
    ends = [
        binomtest(hits, count).proportion_ci(LEVEL, method="wilson") for hits, count in zip(right, counts, strict=True)
    ]
    below = sum((share - end.low) ** 2 for share, end in zip(shares, ends, strict=True)) ** 0.5 / 2
    above = sum((end.high - share) ** 2 for share, end in zip(shares, ends, strict=True)) ** 0.5 / 2
    mean = sum(shares) / 2
    return {"mean": mean, "low": float(max(0, mean - below)), "high": float(min(1, mean + above)), "n": sum(counts)}
