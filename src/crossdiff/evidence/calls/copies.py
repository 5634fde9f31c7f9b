"""Latents of one dictionary that are copies of each other: their decoders point alike and they fire on the same tokens.

An L1 crosscoder splits a feature over many of them, and each is counted: counts of latents then say how often a feature
was copied. Beside them stand counts of groups.

Shapes: F latents, T tokens.
"""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from crossdiff.evidence.calls.firing import fire_alike
from crossdiff.evidence.calls.stability import Floats, near


def groups(unit_FD: Floats, firing_FT: csr_array, threshold: float) -> np.ndarray:
    """Number of each latent's group [F] int: latents that copies join, one by one; a latent without copies is alone.

    Both cosines of two copies reach ``threshold``, as those of matched latents of two seeds do.
    """
    pairs = fire_alike(near(unit_FD, unit_FD, threshold), firing_FT, firing_FT, threshold).pairs
    latents = len(unit_FD)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(latents, latents))
    return np.asarray(connected_components(graph, directed=False)[1])


def distinct(group_F: np.ndarray, named_F: np.ndarray) -> int:
    """Groups that hold a latent of the set."""
    return len(np.unique(group_F[named_F]))


def counted(
    group_F: Mapping[int, np.ndarray], named: Mapping[str, Mapping[str, Mapping[int, np.ndarray]]]
) -> dict[str, dict[str, list[int]]]:
    """criterion -> call -> groups that hold a latent named so, a list over seeds; ``named`` holds masks [F] by seed."""
    return {
        criterion: {
            call: [distinct(group_F[seed], mask_F) for seed, mask_F in masks.items()] for call, masks in by_call.items()
        }
        for criterion, by_call in named.items()
    }
