"""p-values of one criterion for the latents of a dictionary, calibrated on null latents of its kind. Numerics only.

Shapes: arrays [F] of float64, one entry a latent; NaN is a latent that is not tested.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from crossdiff.evidence.calls.calibration import Array, Bulk, p_values
from crossdiff.evidence.calls.criteria import MIN_BLOCKS, Bound, Criterion, Latents, column


def compared(latents: Latents, criterion: Criterion) -> tuple[Array, Array, Array]:
    """(statistic, frequency, the statistic's error), each [F]; the statistic is NaN where it must not be used."""
    value, error = criterion.statistic.of(latents)
    value[latents["active_blocks"] < MIN_BLOCKS] = np.nan
    for bound in criterion.among:
        with np.errstate(invalid="ignore"):
            value[~(bound.beyond(latents)[0] > 0)] = np.nan
    return value, column(latents, "frequency"), error


def scores(latents: Latents, nulls: Sequence[Latents], criterion: Criterion) -> tuple[Array, Array]:
    """z of a dictionary's latents [F], and of all tested latents of the null dictionaries together.

    Each dictionary is measured against its own bulk; where no bulk is null, all against that of the null latents.
    """
    own, *known = (compared(table, criterion) for table in (latents, *nulls))
    if criterion.own_bulk:
        z, *null = (Bulk.of(value, frequency).z(value, frequency, error) for value, frequency, error in (own, *known))
    else:
        value, frequency = (np.concatenate([np.zeros(0), *(each[part] for each in known)]) for part in (0, 1))
        bulk = Bulk.of(value, frequency)
        z, *null = (bulk.z(*each) for each in (own, *known))
    together = np.concatenate([np.zeros(0), *null])
    return z, together[~np.isnan(together)]


def bound_p(latents: Latents, bound: Bound) -> Array:
    """p [F] against the hypothesis that the bound does not hold: t = (value − bound)/error, active blocks − 1 d.f.

    A size gets past its bound at both ends, so that of both counts: P(|T + bound/error| ≥ |value|/error), which is at
    most what is stated for a number right on the bound. 1 where the number or its error is not known.
    """
    beyond, error = bound.beyond(latents)
    freedom = np.maximum(column(latents, "active_blocks") - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = student.sf(beyond / error, freedom)
        if bound.size:
            p = p + student.sf((beyond + 2 * bound.value) / error, freedom)
    return np.where(np.isfinite(error) & ~np.isnan(p), p, 1.0)


def criterion_p(latents: Latents, nulls: Sequence[Latents], criterion: Criterion) -> tuple[Array, int]:
    """p [F] of one criterion, NaN for latents that are not tested, and how many null latents calibrated it."""
    z, null = scores(latents, nulls, criterion)
    p = p_values(z, null, criterion.tail)
    for bound in (*criterion.among, *criterion.bounds):
        p = np.where(np.isnan(p), p, np.maximum(p, bound_p(latents, bound)))
    return p, len(null)
