"""Numbers over all latents of a dictionary that the study sets side by side (study_spec §1.6, §3.2).

Cosines of base and chat rows by class with those of random pairs, how far chat-only latents and those of highest Δ_norm
overlap with shared ones in ν, how ν is spread among them, how many latents lie below each threshold of ν and how often
they are active, and how Δ_norm, ν and frequency go together. Shapes: F latents, N some of them, D width.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from crossdiff.attribution.norms import cosine

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
RANDOM_PAIRS = 10_000
CENTRAL = {"": (0.95, 1.959964), "50": (0.5, 0.674490)}
"""Central intervals, by the ending of their quantities' names: the share that one holds, and the standard deviations on
either side of the mean that hold as much of a normal distribution."""
THRESHOLDS = 100
"""Thresholds of ν, evenly from 0.01 to 1."""


class Value(NamedTuple):
    """One number."""

    quantity: str
    group: str
    """The latents it is over."""
    at: float | None
    """Quantile or threshold; None for a mean or a share."""
    value: float
    n: int
    """Size of the group."""


def random_cosines(rows_LFD: Tensor, latents_N: Tensor, seed: int) -> Tensor:
    """Cosine of the base row of one latent and the chat row of another, for `RANDOM_PAIRS` pairs drawn from some."""
    generator = torch.Generator().manual_seed(seed)
    count = len(latents_N)
    first = torch.randint(count, (RANDOM_PAIRS,), generator=generator)
    second = (first + torch.randint(1, count, (RANDOM_PAIRS,), generator=generator)) % count
    pick = latents_N.cpu()
    device = rows_LFD.device
    return cosine(rows_LFD[0, pick[first].to(device)], rows_LFD[1, pick[second].to(device)])


def spread(quantity: str, group: str, values_N: Tensor) -> list[Value]:
    """Mean and quantiles of what is a number; nothing of an empty group."""
    values_N = values_N[~values_N.isnan()].double().cpu()
    n = len(values_N)
    if not n:
        return []
    at = torch.tensor(QUANTILES, dtype=torch.float64)
    sorted_N = values_N.sort().values  # torch.quantile is limited to 2**24 values
    places = (at * (n - 1)).round().long()
    return [
        Value(quantity, group, None, float(values_N.mean()), n),
        *(Value(quantity, group, q, float(v), n) for q, v in zip(QUANTILES, sorted_N[places], strict=True)),
    ]


def overlap(name: str, group: str, own_N: Tensor, shared_N: Tensor) -> list[Value]:
    """Share of some latents' ν that lies where the central 95 % of the shared ones' lies, and their central 50 %.

    By the study's rule: within 1.96 (0.67) standard deviations of the shared mean, as of a normal distribution; and by
    the quantiles themselves, for ν is not normal. Nothing if one of the groups has no value or the shared one only one.
    """
    own_N, shared_N = (values[~values.isnan()].double().cpu() for values in (own_N, shared_N))
    if not len(own_N) or len(shared_N) < 2:
        return []
    sorted_N, last = shared_N.sort().values, len(shared_N) - 1
    far_N = ((own_N - shared_N.mean()) / shared_N.std()).abs()
    within = {}
    for ending, (share, deviations) in CENTRAL.items():
        low, high = (sorted_N[round(at * last)] for at in ((1 - share) / 2, (1 + share) / 2))
        within[f"normal{ending}"] = far_N <= deviations
        within[f"quantiles{ending}"] = (own_N >= low) & (own_N <= high)
    return [
        Value(f"overlap_{name}_{rule}", f"{group} in shared", None, float(inside.double().mean()), len(own_N))
        for rule, inside in within.items()
    ]


def below(quantity: str, *nu_N: Tensor, **weights_N: Tensor) -> list[Value]:
    """Latents whose |ν| is below a threshold in every one of the given columns, for each threshold π.

    And Σ of each weight over them, as ``<quantity>_<weight>``: of the frequency, how many are active on a token.
    """
    largest_N = torch.stack([nu.abs().double().cpu() for nu in nu_N]).max(0).values  # NaN stays NaN, and counts nowhere
    n = int((~largest_N.isnan()).sum())
    order_N = largest_N.argsort(stable=True)
    at_T = torch.arange(1, THRESHOLDS + 1, dtype=torch.float64) / THRESHOLDS
    count_T = torch.searchsorted(largest_N[order_N][:n], at_T)  # NaN sorts last
    values = [Value(quantity, "alive", float(at), float(count), n) for at, count in zip(at_T, count_T, strict=True)]
    for name, weight_N in weights_N.items():
        sums_N = torch.nn.functional.pad(weight_N.double().cpu()[order_N][:n].cumsum(0), (1, 0))
        values += [
            Value(f"{quantity}_{name}", "alive", float(at), float(sums_N[count]), n)
            for at, count in zip(at_T, count_T, strict=True)
        ]
    return values


def ranks(values_N: Tensor) -> Tensor:
    """Rank of each value from 1, float64; equal values share the mean of their ranks."""
    _, place_N, count_U = torch.unique(values_N, return_inverse=True, return_counts=True)
    return (count_U.cumsum(0) - (count_U - 1) / 2.0).double()[place_N]


def correlations(one: str, other: str, group: str, one_N: Tensor, other_N: Tensor) -> list[Value]:
    """Pearson's correlation of two columns, and Spearman's: that of their ranks, which no single latent can decide.

    Over the latents that have both; nothing of fewer than three, or where one column never varies.
    """
    both_N = ~(one_N.isnan() | other_N.isnan())
    pair_2N = torch.stack([one_N[both_N], other_N[both_N]]).double().cpu()
    n = pair_2N.shape[1]
    if n < 3 or bool((pair_2N.amax(1) == pair_2N.amin(1)).any()):
        return []
    ranked_2N = torch.stack([ranks(values_N) for values_N in pair_2N])
    return [
        Value(f"{kind}_{one}_{other}", group, None, float(torch.corrcoef(values_2N)[0, 1]), n)
        for kind, values_2N in (("pearson", pair_2N), ("spearman", ranked_2N))
    ]
