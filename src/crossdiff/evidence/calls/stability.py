"""Which latents come back when a dictionary is trained again from another seed.

Latents of two seeds are alike as far as the smaller of two cosines goes: that of their decoders (both models' rows as
one vector), and that of their activities over the same tokens (`firing`). Where it reaches a threshold they are
matched: by mutual nearest neighbours, and by the assignment of largest total cosine (Hungarian). Pairs below the
threshold are no matches, so the assignment falls apart into small connected groups and stays cheap at any width.

Shapes: F and G latents of two seeds, D width of the decoder vectors, E pairs at or above the threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import t

Floats = NDArray[np.floating]
Pairs = NDArray[np.int64]
"""[E, 2]: a latent of one seed and one of the other."""
CHUNK = 1024
"""Latents compared with all others at once."""


@dataclass(frozen=True, eq=False)
class Near:
    """All pairs of two seeds' latents that are alike, at or above the threshold."""

    pairs: Pairs
    cosine: Floats
    """[E], of decoders; of both decoders and activities the smaller one, once those were compared."""


def unit(decoder_LFD: Floats) -> Floats:
    """Both models' decoder rows of a latent as one vector of length 1, [F, L·D] float32; zeros stay zeros."""
    rows_FD = np.moveaxis(decoder_LFD, 1, 0).reshape(decoder_LFD.shape[1], -1).astype(np.float32)
    norm_F = np.linalg.norm(rows_FD, axis=1, keepdims=True)
    return np.divide(rows_FD, norm_F, out=np.zeros_like(rows_FD), where=norm_F > 0)


def near(a_FD: Floats, b_GD: Floats, threshold: float) -> Near:
    """Pairs of unit vectors (decoders) whose cosine is at least ``threshold``."""
    pairs, cosines = [], []
    for first in range(0, len(a_FD), CHUNK):
        cosine_FG = (torch.from_numpy(a_FD[first : first + CHUNK]) @ torch.from_numpy(b_GD).T).numpy()
        row, column = np.nonzero(cosine_FG >= threshold)
        pairs.append(np.stack([row + first, column], 1))
        cosines.append(cosine_FG[row, column])
    return Near(np.concatenate(pairs).astype(np.int64), np.concatenate(cosines))


def mutual(found: Near) -> Pairs:
    """Pairs that are each other's nearest; of equal ones the first."""
    order = np.lexsort((found.pairs[:, 1], found.pairs[:, 0], -found.cosine))
    pairs = found.pairs[order]
    best = [np.zeros(len(pairs), dtype=bool) for _ in range(2)]
    for side in range(2):
        best[side][np.unique(pairs[:, side], return_index=True)[1]] = True
    return np.asarray(pairs[best[0] & best[1]])


def assigned(found: Near) -> Pairs:
    """The one-to-one assignment of largest total cosine among the pairs, one connected group at a time."""
    if not len(found.pairs):
        return found.pairs
    size_F, size_G = found.pairs.max(0) + 1
    graph = coo_array(
        (np.ones(len(found.pairs)), (found.pairs[:, 0], found.pairs[:, 1] + size_F)), shape=(size_F + size_G,) * 2
    )
    group = connected_components(graph, directed=False)[1][found.pairs[:, 0]]
    order = np.argsort(group, kind="stable")
    out = []
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        rows, row = np.unique(found.pairs[members, 0], return_inverse=True)
        columns, column = np.unique(found.pairs[members, 1], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        gain[row, column] = found.cosine[members]
        chosen = linear_sum_assignment(gain, maximize=True)
        kept = gain[chosen] > 0
        out.append(np.stack([rows[chosen[0][kept]], columns[chosen[1][kept]]], 1))
    return np.concatenate(out)


def reappears(matches: Mapping[tuple[int, int], Pairs], seeds: Sequence[int], latents: int) -> dict[int, Floats]:
    """Seed -> share of the other seeds in which each latent has a match [F]; NaN if there is no other seed."""
    count = {seed: np.zeros(latents) for seed in seeds}
    for (a, b), pairs in matches.items():
        count[a][pairs[:, 0]] += 1
        count[b][pairs[:, 1]] += 1
    others = len(seeds) - 1
    return {seed: times / others if others else np.full(latents, np.nan) for seed, times in count.items()}


def consensus(
    near_: Mapping[tuple[int, int], Near], seeds: Sequence[int], latents: int
) -> dict[int, NDArray[np.int64]]:
    """Seed -> number of the group of matched latents that each latent belongs to [F], −1 where it has no match.

    Groups grow along mutual matches, closest first, and hold at most one latent a seed: a link that would bring in a
    second is left out. Groups are numbered by their first seed and latent.
    """
    links = []
    for (a, b), found in near_.items():
        cosine = {tuple(pair): value for pair, value in zip(found.pairs.tolist(), found.cosine.tolist(), strict=True)}
        links += [(-cosine[i, j], (a, i), (b, j)) for i, j in mutual(found).tolist()]
    member: dict[tuple[int, int], dict[int, int]] = {}
    for _, one, other in sorted(links):
        left, right = member.get(one, {one[0]: one[1]}), member.get(other, {other[0]: other[1]})
        if left is not right and not left.keys() & right.keys():
            merged = left | right
            member |= dict.fromkeys(merged.items(), merged)
    place = {seed: number for number, seed in enumerate(seeds)}
    groups = {id(group): group for group in member.values()}
    ordered = sorted(groups.values(), key=lambda group: min((place[seed], latent) for seed, latent in group.items()))
    out = {seed: np.full(latents, -1, dtype=np.int64) for seed in seeds}
    for number, group in enumerate(ordered):
        for seed, latent in group.items():
            out[seed][latent] = number
    return out


def jaccard(a_F: np.ndarray, b_F: np.ndarray, pairs: Pairs, live: tuple[int, int]) -> tuple[float, float]:
    """(shared by matches / in either, the same for sets of these sizes drawn at random) of two seeds' sets (masks [F]).

    Drawn at random among the ``live`` latents of each, for a dead one is in no set. NaN if both are empty.
    """
    sizes = int(a_F.sum()), int(b_F.sum())
    both = int((a_F[pairs[:, 0]] & b_F[pairs[:, 1]]).sum())
    chance = len(pairs) * sizes[0] / max(1, live[0]) * sizes[1] / max(1, live[1])
    union = sum(sizes) - both
    return (both / union, chance / (sum(sizes) - chance)) if union else (float("nan"), float("nan"))


def subspace_overlap(a_SD: Floats, b_TD: Floats) -> tuple[float, float]:
    """(overlap, its value for random subspaces) of the spans of two sets of directions.

    ‖Q_aᵀ Q_b‖² / smaller rank: 1 where one lies in the other, larger rank / D by chance. NaN for an empty set; read it
    only where chance is far below 1, since sets as large as D span everything.
    """
    bases = [span(rows) for rows in (a_SD, b_TD)]
    ranks = [basis.shape[1] for basis in bases]
    if not min(ranks):
        return float("nan"), float("nan")
    shared = float(np.square(bases[0].T @ bases[1]).sum())
    return shared / min(ranks), max(ranks) / a_SD.shape[1]


def span(rows_SD: Floats) -> Floats:
    """Orthonormal basis [D, R] of the span of rows."""
    if not len(rows_SD):
        return np.zeros((rows_SD.shape[1], 0))
    _, size, basis = np.linalg.svd(rows_SD.astype(np.float64), full_matrices=False)
    tiny = size.max() * max(rows_SD.shape) * np.finfo(np.float32).eps
    return basis[size > tiny].T


def over_pairs(values: Mapping[tuple[int, int], float], seeds: Sequence[int]) -> dict[str, float | int]:
    """{mean, low, high, n} of a number of every pair of seeds; NaN pairs are left out. n is the number of seeds.

    95 % interval by deleting one seed at a time (pairs share seeds, so they are not independent), t with n − 1 degrees
    of freedom; no interval (NaN) for fewer than three seeds.
    """
    known = {pair: value for pair, value in values.items() if not np.isnan(value)}
    mean = float(np.mean(list(known.values()))) if known else float("nan")
    left = [[value for pair, value in known.items() if seed not in pair] for seed in seeds]
    count = len(seeds)
    if count < 3 or not all(left):
        return {"mean": mean, "low": float("nan"), "high": float("nan"), "n": count}
    means = np.array([np.mean(some) for some in left])
    half = float(t.ppf(0.975, count - 1) * np.sqrt((count - 1) / count * np.square(means - means.mean()).sum()))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": count}


def all_pairs(seeds: Sequence[int]) -> list[tuple[int, int]]:
    """Every two seeds, in order."""
    return list(combinations(seeds, 2))
