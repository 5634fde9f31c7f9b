"""Matching across seeds against brute force, and stability on sets with a known answer."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.evidence.calls.stability import (
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


def decoders(latents, seed, width=6, models=2):
    return np.random.default_rng(seed).normal(size=(models, latents, width)).astype(np.float32)


def test_unit_vectors_join_both_models():
    d = decoders(5, 0)
    d[:, 3] = 0
    rows = unit(d)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 0, 1], rtol=1e-6)
    joined = np.concatenate([d[0, 1], d[1, 1]])
    np.testing.assert_allclose(rows[1], joined / np.linalg.norm(joined), rtol=1e-6)


def test_near_pairs_are_all_pairs_above_the_threshold_in_any_chunks(monkeypatch):
    a, b = unit(decoders(30, 0)), unit(decoders(20, 1))
    expected = {(i, j): a[i] @ b[j] for i in range(30) for j in range(20) if a[i] @ b[j] >= 0.2}
    for chunk in (7, 1024):
        monkeypatch.setattr("crossdiff.evidence.calls.stability.CHUNK", chunk)
        found = near(a, b, 0.2)
        assert {tuple(pair) for pair in found.pairs.tolist()} == set(expected)
        np.testing.assert_allclose(found.cosine, [expected[tuple(pair)] for pair in found.pairs.tolist()], rtol=1e-5)


@given(st.integers(1, 6), st.integers(0, 1000))
def test_mutual_neighbours_and_assignment_equal_brute_force(latents, seed):
    a, b = unit(decoders(latents, seed)), unit(decoders(latents, seed + 1))
    threshold, cosine = 0.1, a @ b.T
    found = near(a, b, threshold)
    pairs = {
        (i, j)
        for i in range(latents)
        for j in range(latents)
        if cosine[i, j] >= threshold and cosine[i].argmax() == j and cosine[:, j].argmax() == i
    }
    assert {tuple(pair) for pair in mutual(found).tolist()} == pairs
    gain = np.where(cosine >= threshold, cosine, 0)
    best = max(sum(gain[i, j] for i, j in enumerate(order)) for order in permutations(range(latents)))
    chosen = assigned(found)
    assert len(set(chosen[:, 0].tolist())) == len(set(chosen[:, 1].tolist())) == len(chosen)
    assert sum(gain[i, j] for i, j in chosen.tolist()) == pytest.approx(best, rel=1e-5)


def test_a_permuted_dictionary_comes_back_whole():
    d = decoders(40, 0)
    order = np.random.default_rng(1).permutation(40)
    found = near(unit(d), unit(3 * d[:, order]), 0.9)
    for pairs in (mutual(found), assigned(found)):
        assert len(pairs) == 40
        assert (order[pairs[:, 1]] == pairs[:, 0]).all()


def test_nothing_alike_is_nothing_matched():
    found = near(np.eye(3, 6, dtype=np.float32), np.eye(3, 6, 3, dtype=np.float32), 0.5)
    assert mutual(found).shape == assigned(found).shape == (0, 2)


def test_share_of_seeds_and_consensus():
    """Three latents: one in all seeds, one in two of three, one in none."""
    eye = np.eye(9, dtype=np.float32)
    seeds = {0: eye[[0, 1, 2]], 1: eye[[1, 0, 3]], 2: eye[[4, 5, 0]]}
    near_ = {(a, b): near(seeds[a], seeds[b], 0.7) for a, b in all_pairs([0, 1, 2])}
    shares = reappears({pair: mutual(found) for pair, found in near_.items()}, [0, 1, 2], 3)
    assert [shares[seed].tolist() for seed in (0, 1, 2)] == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
    groups = consensus(near_, [0, 1, 2], 3)
    assert [groups[seed].tolist() for seed in (0, 1, 2)] == [[0, 1, -1], [1, 0, -1], [-1, -1, 0]]


def test_a_group_holds_one_latent_a_seed():
    """A1–B1–C–A2: the chain would bring two latents of one seed together; its weakest link is cut."""

    def at(degrees):
        radians = np.radians(degrees)
        return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)

    rows = {0: at([0, 60]), 1: at([15, 190]), 2: at([34, 250])}
    near_ = {(a, b): near(rows[a], rows[b], 0.8) for a, b in all_pairs([0, 1, 2])}
    groups = consensus(near_, [0, 1, 2], 2)
    assert groups[0][0] == groups[1][0] == groups[2][0] == 0
    assert groups[0][1] == -1


def test_one_seed_says_nothing():
    assert np.isnan(reappears({}, [7], 4)[7]).all()
    assert consensus({}, [7], 4)[7].tolist() == [-1] * 4
    assert np.isnan(over_pairs({}, [7])["mean"])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [([1, 1, 0, 0], [1, 1, 0, 0], 1.0), ([1, 1, 0, 0], [0, 0, 1, 1], 0.0), ([1, 1, 0, 0], [0, 1, 1, 0], 1 / 3)],
)
def test_jaccard_of_known_sets(a, b, expected):
    same = np.stack([np.arange(4)] * 2, 1)
    found, chance = jaccard(np.array(a, bool), np.array(b, bool), same, (len(a), len(b)))
    assert found == pytest.approx(expected)
    assert chance == pytest.approx(1 / 3)


def test_dead_latents_are_in_no_set_that_chance_draws():
    same = np.stack([np.arange(4)] * 2, 1)
    half = np.array([1, 1, 0, 0], bool)
    assert jaccard(half, half, same[:2], (2, 2)) == (1.0, pytest.approx(1.0))


def test_jaccard_of_empty_sets_and_of_unmatched_latents():
    pairs = np.zeros((0, 2), np.int64)
    assert np.isnan(jaccard(np.zeros(4, bool), np.zeros(4, bool), pairs, (4, 4))[0])
    assert jaccard(np.ones(4, bool), np.ones(4, bool), pairs, (4, 4)) == (0.0, 0.0)


def test_subspace_overlap_of_known_subspaces():
    eye = np.eye(10)
    assert subspace_overlap(eye[:3], eye[:3] @ np.diag(np.arange(1, 11.0))) == (pytest.approx(1), 0.3)
    assert subspace_overlap(eye[:3], eye[5:7]) == (pytest.approx(0), 0.3)
    assert subspace_overlap(eye[:4], eye[2:4])[0] == pytest.approx(1)
    assert np.isnan(subspace_overlap(eye[:0], eye[:3])[0])
    repeated = np.concatenate([eye[:2], eye[:2]])
    assert subspace_overlap(repeated, eye[:2]) == (pytest.approx(1), 0.2)


def test_random_subspaces_overlap_by_chance():
    rng = np.random.default_rng(0)
    found = [subspace_overlap(rng.normal(size=(5, 50)), rng.normal(size=(8, 50))) for _ in range(200)]
    assert np.mean([overlap for overlap, _ in found]) == pytest.approx(found[0][1], rel=0.05)


def test_interval_over_seeds_is_the_jackknife():
    values = {(0, 1): 0.2, (0, 2): 0.4, (1, 2): 0.6}
    found = over_pairs(values, [0, 1, 2])
    left = np.array([0.6, 0.4, 0.2])
    half = 4.302653 * np.sqrt(2 / 3 * np.square(left - 0.4).sum())
    assert (found["mean"], found["n"]) == (pytest.approx(0.4), 3)
    assert (found["low"], found["high"]) == (pytest.approx(0.4 - half), pytest.approx(0.4 + half))
    two = over_pairs({(0, 1): 0.2}, [0, 1])
    assert two["mean"] == 0.2
    assert np.isnan(two["low"])
