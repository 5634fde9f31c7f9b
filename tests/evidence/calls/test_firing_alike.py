"""Cosines of activities against dense ones, and what comparing them changes in a matching."""

import numpy as np
import polars as pl
import pytest

from crossdiff.errors import UserError
from crossdiff.evidence.calls.firing import cosines, fire_alike, read
from crossdiff.evidence.calls.stability import Near, mutual, near


def put(path, levels_FT):
    """A firing.parquet of dense levels."""
    latent, token = np.nonzero(levels_FT)
    pl.DataFrame(
        {
            "latent": latent.astype(np.uint32),
            "token": token.astype(np.uint32),
            "level": levels_FT[latent, token].astype(np.uint8),
        }
    ).write_parquet(path)
    return path


def levels(seed, latents=6, tokens=50):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 256, (latents, tokens)) * (rng.random((latents, tokens)) < 0.3)


@pytest.mark.parametrize("chunk", [4, 1000])
def test_cosines_equal_dense_ones_in_any_chunks(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("crossdiff.evidence.calls.firing.CHUNK", chunk)
    a, b = levels(0), levels(1)
    a[2] = 0
    a[:, -9:] = 0  # this one falls silent earlier
    pairs = np.array([(i, j) for i in range(6) for j in range(6)])
    dense = a.astype(float) @ b.T
    norms = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    expected = np.divide(dense, norms, out=np.zeros_like(dense), where=norms > 0)
    found = cosines(read(put(tmp_path / "a", a), 6), read(put(tmp_path / "b", b), 6), pairs)
    np.testing.assert_allclose(found, expected.flatten(), atol=1e-6)


def test_latents_that_point_alike_and_fire_apart_are_no_match(tmp_path):
    """Of three latents with the same decoders one fires on the same tokens, one on others, one never."""
    a, b = levels(0, 3), levels(0, 3)
    b[1], b[2] = np.roll(a[1], 7), 0
    eye = np.eye(3, 8, dtype=np.float32)
    pointing = near(eye, eye, 0.7)
    found = fire_alike(pointing, read(put(tmp_path / "a", a), 3), read(put(tmp_path / "b", b), 3), 0.7)
    assert mutual(pointing).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert mutual(found).tolist() == [[0, 0]]


def test_the_smaller_cosine_counts(tmp_path):
    """Two candidates for one latent: the one that points nearer fires further apart, and the other is taken."""
    a = levels(3, 1, 400)
    b = np.concatenate([a.copy(), a.copy()])
    b[0, ::4] = 0
    pointing = Near(np.array([[0, 0], [0, 1]]), np.array([0.99, 0.95], dtype=np.float32))
    found = fire_alike(pointing, read(put(tmp_path / "a", a), 1), read(put(tmp_path / "b", b), 2), 0.7)
    assert found.cosine[0] < 0.95
    assert mutual(found).tolist() == [[0, 1]]


def test_no_pair_and_no_table(tmp_path):
    nothing = read(put(tmp_path / "a", np.zeros((4, 5), int)), 4)
    assert nothing.shape == (4, 0)
    assert len(cosines(nothing, nothing, np.zeros((0, 2), np.int64))) == 0
    assert cosines(nothing, nothing, np.array([[0, 1]])).tolist() == [0]
    with pytest.raises(UserError, match=r"there is no table .*x\.firing\.parquet; run the step that makes it"):
        read(tmp_path / "x.firing.parquet", 4)
