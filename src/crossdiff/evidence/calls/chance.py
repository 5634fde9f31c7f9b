"""How many groups of matched latents would be named in several seeds if each seed named its latents at random.

A group that several seeds name says something only beside that number: where a tenth of all latents are named, about
three of a hundred groups of three are named twice by chance.

Shapes: G groups, S seeds, E events.
"""

from collections.abc import Mapping

import numpy as np

from crossdiff.evidence.calls.calibration import Array


def exactly(p_GE: Array) -> Array:
    """Probability [G, E + 1] that none, one, … of a row's independent events happen (the Poisson binomial)."""
    exactly_GN = np.zeros((len(p_GE), p_GE.shape[1] + 1))
    exactly_GN[:, 0] = 1
    for p_G1 in p_GE.T[..., None]:
        one_more_GN = np.roll(exactly_GN, 1, 1)  # the last entry, which comes first then, is still 0
        exactly_GN = exactly_GN * (1 - p_G1) + one_more_GN * p_G1
    return exactly_GN


def expected(p_G: Array) -> dict[str, float]:
    """{mean, low, high, n} of how many of G independent events happen; low and high hold 95 % of it."""
    up_to_N = np.cumsum(exactly(p_G[None])[0])
    low, high = (int(np.searchsorted(up_to_N, level)) for level in (0.025, 0.975))
    return {"mean": float(p_G.sum()), "low": low, "high": high, "n": len(p_G)}


def together(
    member_GS: np.ndarray, named_GS: np.ndarray, rates: Mapping[int, float], needed: int
) -> tuple[int, dict[str, float]]:
    """(groups that at least ``needed`` seeds name, the same by chance).

    ``member`` [G, S] bool says where a group has a latent, ``named`` [G, S] which of those are named, ``rates`` the
    share of each seed's live latents that are, in the seeds' order.
    """
    p_GS = member_GS * np.array(list(rates.values()))
    return int((named_GS.sum(1) >= needed).sum()), expected(exactly(p_GS)[:, needed:].sum(1))
