"""Latents that are copies of each other are one group, and a set is counted by its groups."""

import numpy as np
from scipy.sparse import csr_array

from crossdiff.evidence.calls.copies import counted, distinct, groups


def firing(rows: list[list[int]]) -> csr_array:
    active = np.array(rows, dtype=np.float32)
    norm = np.linalg.norm(active, axis=1, keepdims=True)
    return csr_array(np.divide(active, norm, out=np.zeros_like(active), where=norm > 0))


def test_copies_point_alike_and_fire_alike():
    along = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0]], dtype=np.float32)
    found = groups(along, firing([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]), 0.7)
    # The third points alike and fires apart, the fourth fires alike and points apart, the last is dead.
    assert found[0] == found[1]
    assert len(set(found.tolist())) == 4


def test_copies_of_copies_are_one_group():
    angle = np.deg2rad([0, 40, 80])
    along = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    assert len(set(groups(along, firing([[1, 1]] * 3), 0.7).tolist())) == 1
    assert len(set(groups(along, firing([[1, 1]] * 3), 0.9).tolist())) == 3


def test_a_set_is_counted_by_its_groups():
    group = {0: np.array([0, 0, 1, 2]), 5: np.array([3, 1, 1, 1])}
    mask = {0: np.array([True, True, False, True]), 5: np.array([False, True, True, True])}
    assert distinct(group[0], mask[0]) == 2
    assert distinct(group[0], np.zeros(4, dtype=bool)) == 0
    assert counted(group, {"calibrated": {"rotated": mask}}) == {"calibrated": {"rotated": [2, 1]}}
