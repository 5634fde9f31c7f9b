"""Numbers of several seeds -> one number with its interval."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from scipy import stats

Leaf = float | int | dict[str, float | int]
Tree = dict[str, Any]
"""Nested names; each leaf a number, or {mean, low, high, n}."""

RANGES = {
    "fve": (-math.inf, 1.0),
    **dict.fromkeys(("dead", "template", "delta_norm", "overlap"), (0.0, 1.0)),
    **dict.fromkeys(("cosine", "correlation", "training"), (-1.0, 1.0)),
}
"""What values a group of numbers can take; others that are nowhere negative start at 0."""


ROUNDING = 1e-9
"""What a sum of means may be off a whole number."""


def over_seeds(trees: Sequence[Tree], ranges: Mapping[str, tuple[float, float]] = RANGES) -> Tree:
    """Merge the seeds' trees of numbers; a name that only some seeds have keeps those (its n says how many)."""
    return {name: merge([tree[name] for tree in trees if name in tree], ranges.get(name)) for name in keys(trees)}


def keys(trees: Sequence[Tree]) -> list[str]:
    """Names over all trees, in order of appearance."""
    return list(dict.fromkeys(name for tree in trees for name in tree))


def merge(items: Sequence[Any], bounds: tuple[float, float] | None) -> Any:
    """Subtrees or numbers of the seeds -> one subtree or leaf."""
    if isinstance(items[0], dict):
        return {name: merge([item[name] for item in items if name in item], bounds) for name in keys(items)}
    return leaf(items, bounds)


def leaf(values: Sequence[float], bounds: tuple[float, float] | None = None) -> Leaf:
    """Mean and two-sided 95 % t-interval of independent seeds, cut to what the number can be; one seed stays a number.

    mean ± t(0.975, n−1) · s / √n, s the sample standard deviation.
    """
    if len(values) == 1:
        return values[0]
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = quantile(len(values) - 1) * spread / math.sqrt(len(values))
    lowest, highest = bounds or (0.0 if min(values) >= 0 else -math.inf, math.inf)
    return {"mean": mean, "low": max(mean - half, lowest), "high": min(mean + half, highest), "n": len(values)}


@cache
def quantile(freedom: int) -> float:
    """t(0.975) of so many degrees of freedom; a report asks for a handful of them two thousand times."""
    return float(stats.t.ppf(0.975, freedom))


def few(values: Sequence[float], bounds: tuple[float, float] | None = None) -> Leaf:
    """As `leaf`, but of two values low and high are the values themselves: their t-interval is 18 times as wide."""
    if len(values) == 2:
        return {"mean": math.fsum(values) / 2, "low": min(values), "high": max(values), "n": 2}
    return leaf(values, bounds)


def over_few(values: Sequence[float], lowest: float = -math.inf) -> Leaf:
    """As `leaf`, of prompts or conversations: a bootstrap of eight of them would cover 89 % where it says 95."""
    return leaf(values, (lowest, math.inf))


def share(values: Sequence[float]) -> Leaf:
    """Share of answers, each 0 to 1, with its 95 % Wilson interval, which does not vanish at 0 or 1.

    An answer may be partly right (a mean over seeds); the interval is then that of the counts to either side.
    """
    if len(values) == 1:
        return values[0]
    total = math.fsum(values)
    counts = math.floor(total + ROUNDING), math.ceil(total - ROUNDING)
    below, above = (stats.binomtest(n, len(values)).proportion_ci(0.95, method="wilson") for n in counts)
    return {"mean": total / len(values), "low": float(below.low), "high": float(above.high), "n": len(values)}


def mean(value: Leaf) -> float:
    """The point value of a leaf."""
    return value["mean"] if isinstance(value, dict) else value


def ends(value: Leaf) -> tuple[float, float]:
    """Interval of a leaf; a bare number is its own."""
    return (value["low"], value["high"]) if isinstance(value, dict) else (value, value)


def plain(interval: dict[str, float]) -> Leaf:
    """A bootstrap interval as a leaf; a number where there was nothing to resample."""
    return {key: interval[key] for key in ("mean", "low", "high", "n")} if interval["n"] > 1 else interval["mean"]
