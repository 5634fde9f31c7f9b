"""p-values for latents from latents that are known to differ by nothing but nuisance, and their false discovery rate.

    1. standardise   each statistic against its own dictionary's bulk at the same frequency: rare latents are measured
                     on fewer tokens and spread more, and a tune that scales a whole stream moves all of them
    2. p_values      rank of a latent's z among the null latents' z: (1 + #{null at least as extreme}) / (n + 1)
    3. q_values      Benjamini–Hochberg over a dictionary's latents

The ranks are conformal p-values: if a null latent is exchangeable with the n that calibrate, P(p ≤ α) ≤ α, and BH over
p-values that share one calibration set keeps the rate (Bates, Candès, Lei, Romano & Sesia 2023, Testing for outliers
with conformal p-values, §2.3). Step 1 is what makes latents of unlike frequency exchangeable; it assumes that most
latents of a dictionary are not what is looked for. No tail is extrapolated: no p is below 1/(n + 1), and `least_calls`
says what that hides.

Shapes: arrays [F] of float64, one entry a latent; NaN is a latent that is not tested.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

Array = NDArray[np.float64]
Tail = Literal["lower", "upper", "both"]
BIN = 100
"""Latents whose median and spread are taken together, at least."""
BINS = 20
"""Bins of frequency, at most."""
NORMAL_MAD = 1.4826
"""Standard deviations of a normal distribution in one median absolute deviation."""


@dataclass(frozen=True, eq=False)
class Bulk:
    """Median and spread of a statistic by frequency: one entry a bin of equally many latents."""

    log_frequency: Array
    median: Array
    spread: Array

    @classmethod
    def of(cls, value: Array, frequency: Array) -> "Bulk":
        """The bulk of the latents that have a value. Spread is the median absolute deviation in normal units."""
        known = np.flatnonzero(np.isfinite(value) & (frequency > 0))
        if not len(known):
            return cls(np.zeros(1), np.full(1, np.nan), np.full(1, np.nan))
        log_f = np.log(frequency[known])
        order = np.argsort(log_f, kind="stable")
        parts = np.array_split(order, int(np.clip(len(known) // BIN, 1, BINS)))
        medians = [np.median(value[known][part]) for part in parts]
        spreads = [
            NORMAL_MAD * np.median(np.abs(value[known][part] - median))
            for part, median in zip(parts, medians, strict=True)
        ]
        return cls(np.array([np.median(log_f[part]) for part in parts]), np.array(medians), np.array(spreads))

    def z(self, value: Array, frequency: Array, se: Array | float = 0.0) -> Array:
        """(value − median) / √(spread² + se²) at each latent's frequency, between bins linearly in its logarithm.

        ``se`` is the value's own error: a latent that is badly known is not far out because of that. NaN where there is
        no value or error; 0 for a value on the median where nothing spreads, infinite off it.
        """
        log_f = np.log(np.where(frequency > 0, frequency, np.nan))
        median = np.interp(log_f, self.log_frequency, self.median)
        spread = np.hypot(np.interp(log_f, self.log_frequency, self.spread), se)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(value == median, 0.0, (value - median) / spread)
        return np.where(np.isnan(value) | np.isnan(log_f) | np.isnan(se), np.nan, z)


def p_values(z: Array, null: Array, tail: Tail) -> Array:
    """Rank of each z among the null latents' z, in (0, 1]; NaN where z is, or if there are no null latents.

    Ties count against the latent. ``both`` takes the size of z.
    """
    if tail == "both":
        z, null, tail = np.abs(z), np.abs(null), "upper"
    if tail == "upper":
        z, null = -z, -null
    null = np.sort(null[~np.isnan(null)])
    if not len(null):
        return np.full(len(z), np.nan)
    p = (1 + np.searchsorted(null, z, side="right")) / (1 + len(null))
    return np.where(np.isnan(z), np.nan, p)


def q_values(p: Array) -> Array:
    """Benjamini–Hochberg q of each p; latents without one (NaN) are no part of the family."""
    q = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q


def least_calls(nulls: int, family: int, level: float) -> int:
    """How many latents must reach the smallest attainable p, 1/(nulls + 1), before BH can call any at ``level``.

    1 means that a single latent can be called. A larger number is the price of few null latents.
    """
    return max(1, math.ceil(family / ((nulls + 1) * level)))
