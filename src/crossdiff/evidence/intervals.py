"""Intervals that know about clusters: conversations are resampled whole, with all their tokens.

Tokens of one conversation are alike, so treating them as independent, as the study does, makes intervals too narrow.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap
from scipy.stats import t as student

LEVEL = 0.95
LEAST_KL = 1e-3
"""KL a conversation, in nats, below which a share of it says nothing: rounding alone moves predictions as far."""


def interval(
    statistic: Callable[..., np.ndarray], clusters: tuple[ArrayLike, ...], resamples: int, seed: int
) -> dict[str, float]:
    """{mean, low, high, n} of ``statistic`` by the percentile bootstrap over clusters.

    ``clusters`` are arrays of one number a cluster, resampled together; ``statistic(*arrays, axis)`` reduces ``axis``.
    n is the number of clusters; with a single one there is no interval (NaN).
    """
    data = tuple(np.asarray(array, dtype=np.float64) for array in clusters)
    mean = float(statistic(*data, axis=-1))
    if len(data[0]) < 2:
        return {"mean": mean, "low": float("nan"), "high": float("nan"), "n": len(data[0])}
    result = bootstrap(
        data, statistic, paired=True, vectorized=True, n_resamples=resamples, confidence_level=LEVEL,
        method="percentile", rng=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = result.confidence_interval
    return {"mean": mean, "low": float(low), "high": float(high), "n": len(data[0])}


def t_interval(value: ArrayLike, se: ArrayLike, blocks: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of value ± t·se, where ``se`` is a jackknife error over ``blocks`` blocks of rows (blocks − 1 d.f.).

    NaN where the error is not known, as with a single block.
    """
    known = np.asarray(blocks) > 1
    width = student.ppf((1 + LEVEL) / 2, np.where(known, np.asarray(blocks) - 1, 1)) * np.asarray(se, np.float64)
    width = np.where(known, width, np.nan)
    return np.asarray(value) - width, np.asarray(value) + width


def ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int) -> np.ndarray:
    """Σ numerator / Σ denominator: a mean over tokens from sums over conversations."""
    return numerator.sum(axis) / denominator.sum(axis)


def recovered(none: np.ndarray, edited: np.ndarray, axis: int) -> np.ndarray:
    """(KL_none − KL_x) / KL_none, the share of the KL between the models that an intervention recovers."""
    return 1 - edited.sum(axis) / none.sum(axis)


def posed(kl_none: ArrayLike) -> bool:
    """Whether a share of these KL sums, one a conversation, means anything: their mean is clear of rounding."""
    kl = np.asarray(kl_none, dtype=np.float64)
    return bool(len(kl) and kl.mean() >= LEAST_KL)


def token_mean(kl: ArrayLike, tokens: ArrayLike, resamples: int, seed: int) -> dict[str, float]:
    """Mean KL a token from sums per conversation, with a clustered interval."""
    return interval(ratio, (kl, tokens), resamples, seed)


def recovered_share(kl_none: ArrayLike, kl_edited: ArrayLike, resamples: int, seed: int) -> dict[str, float]:
    """Recovered share of KL; both arrays hold sums for the same conversations in the same order (paired).

    NaN where the models hardly differ (`posed`): the ratio would be one of rounding errors.
    """
    if not posed(kl_none):
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "n": len(np.asarray(kl_none))}
    return interval(recovered, (kl_none, kl_edited), resamples, seed)
