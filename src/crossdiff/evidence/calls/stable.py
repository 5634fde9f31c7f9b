"""Dictionaries of several seeds, and when their latents fire -> columns and numbers of `stability`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.calls.chance import together
from crossdiff.evidence.calls.firing import fire_alike
from crossdiff.evidence.calls.stability import (
    Near,
    Pairs,
    all_pairs,
    assigned,
    consensus,
    jaccard,
    mutual,
    near,
    over_pairs,
    reappears,
    subspace_overlap,
    unit,
)

SATURATED = 0.5
"""Overlap of random subspaces from which on a measured one says nothing."""
ONE_SEED = "one seed: nothing can come back; give the config more seeds"


@dataclass(frozen=True, eq=False)
class Matched:
    """Latents of all seeds, matched."""

    seeds: list[int]
    latents: int
    live: dict[int, int]
    """Seed -> latents that are not dead, of which shares are taken."""
    chat_rows: dict[int, np.ndarray]
    """Seed -> decoder rows [F, D] that write chat, or the one row of an SAE."""
    vectors: dict[int, np.ndarray]
    """Seed -> decoder rows of all models as one vector of length 1, [F, L·D]."""
    by_decoder: dict[tuple[int, int], Pairs]
    """Mutual nearest neighbours among latents whose decoders are alike, whenever they fire."""
    near: dict[tuple[int, int], Near]
    mutual: dict[tuple[int, int], Pairs]
    assigned: dict[tuple[int, int], Pairs]

    def tables(self, calls: Mapping[int, np.ndarray] | None) -> list[pl.DataFrame]:
        """For each seed one row a latent: how often it comes back, its consensus group, and what the group is called.

        ``consensus_call`` is the call of more than half of all seeds, null if there is none, or without ``calls``. With
        one seed all columns are null.
        """
        by_neighbours, by_assignment = (
            reappears(each, self.seeds, self.latents) for each in (self.mutual, self.assigned)
        )
        groups = self._groups
        joined = self._group_calls(groups, calls)
        return [
            pl.DataFrame(
                {
                    "reappears": by_neighbours[seed],
                    "reappears_assigned": by_assignment[seed],
                    "consensus": groups[seed],
                    "consensus_call": pl.Series(
                        [joined.get(group) for group in groups[seed].tolist()], dtype=pl.String
                    ),
                }
            ).with_columns(
                pl.col(pl.Float64).fill_nan(None),
                consensus=pl.when(pl.col("consensus") >= 0).then(pl.col("consensus")),
            )
            for seed in self.seeds
        ]

    @cached_property
    def _groups(self) -> dict[int, np.ndarray]:
        """Seed -> consensus group of each latent [F], −1 where it has none."""
        return consensus(self.near, self.seeds, self.latents)

    def _group_calls(
        self, groups: Mapping[int, np.ndarray], calls: Mapping[int, np.ndarray] | None
    ) -> dict[int, str | None]:
        """Group -> the call that more than half of all seeds give its latent."""
        votes: dict[int, list[str]] = {}
        for seed in self.seeds if calls is not None else []:
            assert calls is not None
            for group, what in zip(groups[seed].tolist(), calls[seed].tolist(), strict=True):
                if group >= 0:
                    votes.setdefault(group, []).append(what)
        out: dict[int, str | None] = {}
        for group, given in votes.items():
            most = max(sorted(set(given)), key=given.count)
            out[group] = most if 2 * given.count(most) > len(self.seeds) else None
        return out

    def summary(self, sets: Mapping[str, Mapping[int, np.ndarray]]) -> dict[str, Any]:
        """Numbers for the record: how many latents come back at all, and for each named set of latents its Jaccard
        index and subspace overlap over pairs of seeds with intervals, and how many consensus groups more than half of
        the seeds and all of them name; each with its value by chance.

        ``reappears_decoder`` is matched by decoders alone: what is above ``reappears`` points alike and fires apart.
        ``near`` is the mean number of latents of the other seed at or above the threshold: far above 1, latents are so
        alike that a match says little. These are shares of the live latents. An overlap is refused where random
        subspaces would share half. Numbers that are not defined are null; with one seed there is only a word why.
        """
        if len(self.seeds) < 2:
            return {"refused": ONE_SEED}
        out: dict[str, Any] = {"all": self._matched_share()}
        for name, masks in sets.items():
            of_sets = {pair: self._pair(masks, *pair) for pair in self.near}
            out[name] = {
                key: defined(over_pairs({pair: values[key] for pair, values in of_sets.items()}, self.seeds))
                for key in ("jaccard", "jaccard_chance", "overlap", "overlap_chance")
            } | self._named_together(masks)
        return out

    def _named_together(self, masks: Mapping[int, np.ndarray]) -> dict[str, Any]:
        groups = 1 + max(int(group_F.max()) for group_F in self._groups.values())
        member_GS, named_GS = (np.zeros((groups, len(self.seeds)), dtype=bool) for _ in range(2))
        for place, seed in enumerate(self.seeds):
            grouped_F = self._groups[seed] >= 0
            member_GS[self._groups[seed][grouped_F], place] = True
            named_GS[self._groups[seed][grouped_F & masks[seed]], place] = True
        rates = {seed: masks[seed].sum() / max(1, self.live[seed]) for seed in self.seeds}
        out: dict[str, Any] = {}
        for name, needed in (("in_most", len(self.seeds) // 2 + 1), ("in_all", len(self.seeds))):
            out[name], out[f"{name}_chance"] = together(member_GS, named_GS, rates, needed)
        return out

    def _matched_share(self) -> dict[str, Any]:
        found = {"reappears": self.mutual, "reappears_assigned": self.assigned, "reappears_decoder": self.by_decoder}
        near_ = {"near": {pair: each.pairs for pair, each in self.near.items()}}
        return {
            name: defined(over_pairs({pair: len(each) / self._live(*pair) for pair, each in pairs.items()}, self.seeds))
            for name, pairs in (found | near_).items()
        }

    def _live(self, a: int, b: int) -> float:
        """Mean number of live latents of two seeds."""
        return max(1.0, (self.live[a] + self.live[b]) / 2)

    def _pair(self, masks: Mapping[int, np.ndarray], a: int, b: int) -> dict[str, float]:
        index, index_chance = jaccard(masks[a], masks[b], self.mutual[a, b], (self.live[a], self.live[b]))
        overlap, overlap_chance = subspace_overlap(self.chat_rows[a][masks[a]], self.chat_rows[b][masks[b]])
        if overlap_chance >= SATURATED:
            overlap = float("nan")
        return {
            "jaccard": index, "jaccard_chance": index_chance, "overlap": overlap, "overlap_chance": overlap_chance,
        }  # fmt: skip


def defined(number: Mapping[str, float | int]) -> dict[str, float | int] | None:
    """{mean, low, high, n} with what is defined of it; None if its mean is not."""
    return None if np.isnan(number["mean"]) else {key: value for key, value in number.items() if not np.isnan(value)}


def match(
    dictionaries: Mapping[int, Dictionary], live: Mapping[int, int], firing: Mapping[int, csr_array], threshold: float
) -> Matched:
    """Match the latents of every two seeds whose decoders and activities have at least this cosine.

    ``live``: seed -> latents that are not dead; ``firing``: seed -> activities [F, T] of unit length (`firing.read`).
    """
    seeds = list(dictionaries)
    decoders = {seed: dictionary.decoder.float().cpu().numpy() for seed, dictionary in dictionaries.items()}
    vectors = {seed: unit(decoder) for seed, decoder in decoders.items()}
    pointing = {(a, b): near(vectors[a], vectors[b], threshold) for a, b in all_pairs(seeds)}
    found = {(a, b): fire_alike(each, firing[a], firing[b], threshold) for (a, b), each in pointing.items()}
    return Matched(
        seeds=seeds,
        latents=decoders[seeds[0]].shape[1],
        live=dict(live),
        chat_rows={seed: decoder[-1] for seed, decoder in decoders.items()},
        vectors=vectors,
        by_decoder={pair: mutual(each) for pair, each in pointing.items()},
        near=found,
        mutual={pair: mutual(each) for pair, each in found.items()},
        assigned={pair: assigned(each) for pair, each in found.items()},
    )
