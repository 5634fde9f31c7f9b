"""Numbers over all latents of a dictionary that the study sets side by side (study_spec §1.6, §3.2).

Cosines of base and chat rows by class with those of random pairs, how far chat-only latents overlap with shared ones in
ν, and how many latents lie below each threshold of ν. Shapes: F latents, N some of them, D width.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from crossdiff.attribution.norms import cosine

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
RANDOM_PAIRS = 10_000
CENTRAL = 0.95
NORMAL = 1.959964
"""Standard deviations on either side of the mean that hold 95 % of a normal distribution."""
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


def overlap(name: str, chat_N: Tensor, shared_N: Tensor) -> list[Value]:
    """Share of the chat-only latents' ν that lies where the central 95 % of the shared ones' lies.

    By the study's rule: within 1.96 standard deviations of the shared mean, as of a normal distribution; and by the
    quantiles themselves, for ν is not normal. Nothing if one of the groups has no value or the shared one has only one.
    """
    chat_N, shared_N = (values[~values.isnan()].double().cpu() for values in (chat_N, shared_N))
    if not len(chat_N) or len(shared_N) < 2:
        return []
    tail = (1 - CENTRAL) / 2
    sorted_N, last = shared_N.sort().values, len(shared_N) - 1
    within = {
        "normal": ((chat_N - shared_N.mean()) / shared_N.std()).abs() <= NORMAL,
        "quantiles": (chat_N >= sorted_N[round(tail * last)]) & (chat_N <= sorted_N[round((1 - tail) * last)]),
    }
    return [
        Value(f"overlap_{name}_{rule}", "chat-only in shared", None, float(inside.double().mean()), len(chat_N))
        for rule, inside in within.items()
    ]


def below(quantity: str, *nu_N: Tensor) -> list[Value]:
    """Latents whose |ν| is below a threshold in every one of the given columns, for each threshold π."""
    largest_N = torch.stack([nu.abs().double().cpu() for nu in nu_N]).max(0).values  # NaN stays NaN, and counts nowhere
    n = int((~largest_N.isnan()).sum())
    return [
        Value(quantity, "alive", step / THRESHOLDS, float((largest_N < step / THRESHOLDS).sum()), n)
        for step in range(1, THRESHOLDS + 1)
    ]
