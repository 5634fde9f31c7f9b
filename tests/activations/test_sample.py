"""Every kept token once an epoch, the same again for the same seed, and on from any step."""

from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import write

from crossdiff.activations.sample import batches, indices
from crossdiff.activations.store import Activations
from crossdiff.errors import UserError

SHAPES = ([[1]], [[3, 4, 2]], [[5, 1], [7], [2, 2, 2]], [[1], [13, 2], [4, 4], [6], [3, 11]])


@cache
def view(shape: int):
    return Activations.open(write(Path(mkdtemp()), SHAPES[shape])).view("train")


def taken(view, batch, seed, steps, start=0, window_bytes=2**30):
    return torch.stack(list(islice(indices(view, batch, seed, start, window_bytes), steps)))


@settings(max_examples=80, deadline=None)
@given(
    shape=st.integers(0, 3),
    batch=st.integers(1, 50),
    seed=st.integers(0, 5),
    window_bytes=st.sampled_from([1, 1500, 2**30]),
)
def test_every_token_once_an_epoch(shape, batch, seed, window_bytes):
    tokens = view(shape).tokens
    epochs = batch  # whole epochs that are a whole number of batches
    flat = taken(view(shape), batch, seed, tokens, window_bytes=window_bytes).flatten()
    assert torch.equal(torch.bincount(flat, minlength=tokens), torch.full((tokens,), epochs))
    # And no token comes twice before all have come once, however the batches fall.
    for step in range(1, tokens + 1):
        seen = torch.bincount(flat[: step * batch], minlength=tokens)
        assert seen.max() - seen.min() <= 1


@settings(max_examples=60, deadline=None)
@given(
    shape=st.integers(0, 3),
    batch=st.integers(1, 50),
    start=st.integers(0, 30),
    window_bytes=st.sampled_from([1, 1500, 2**30]),
)
def test_resumes_at_any_step(shape, batch, start, window_bytes):
    whole = taken(view(shape), batch, 3, start + 5, window_bytes=window_bytes)
    resumed = taken(view(shape), batch, 3, 5, start, window_bytes)
    assert torch.equal(whole[start:], resumed)


def test_seeds_and_epochs_differ():
    tokens = view(3).tokens
    first, second = taken(view(3), 4, 0, tokens), taken(view(3), 4, 1, tokens)
    assert torch.equal(first, taken(view(3), 4, 0, tokens))
    assert not torch.equal(first, second)
    steps = tokens // 4
    if tokens % 4 == 0:
        assert not torch.equal(first[:steps], first[steps : 2 * steps])


def test_batches_are_gathered_activations():
    for x_BLD, index_B in zip(batches(view(3), 7, 0, start=2), islice(indices(view(3), 7, 0, 2), 9), strict=False):
        assert torch.equal(x_BLD, view(3).gather(index_B))
        assert len(x_BLD) == 7


def test_order_mixes_shards_within_a_window():
    first = taken(view(3), view(3).tokens // 3, 0, 1)[0]
    shard = torch.searchsorted(view(3).starts, first, right=True)
    assert len(shard.unique()) > 2


def test_nothing_to_sample(tmp_path):
    masked = Activations.open(write(tmp_path, SHAPES[1], thresholds=[0.0, 0.0])).view("train")
    with pytest.raises(UserError, match="no token is left"):
        next(batches(masked, 4, 0))
