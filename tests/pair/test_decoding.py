"""Decoding with a roomy cache against decoding without any; rows that leave do not disturb the others."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from crossdiff.pair.cache import RoomyLayer, roomy_cache
from crossdiff.pair.decoding import greedy

PREFIXES = [[0, 41, 52, 63], [0, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21], [0], [0, 99, 98, 97, 96, 95, 94]]


@pytest.fixture
def model(tiny_pair):
    return tiny_pair.model("chat")


def without_cache(model, prefix, limit, stops):
    ids = list(prefix)
    while len(ids) - len(prefix) < limit:
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token in stops:
            break
        ids.append(token)
    return ids[len(prefix) :]


def test_equals_decoding_without_cache(model):
    free = greedy(model, PREFIXES, 9, set())
    assert free == [without_cache(model, prefix, 9, set()) for prefix in PREFIXES]
    stops = {free[1][3], free[3][5]}
    stopped = greedy(model, PREFIXES, 9, stops)
    assert stopped == [without_cache(model, prefix, 9, stops) for prefix in PREFIXES]
    assert len({len(tokens) for tokens in stopped}) > 1


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    rows=st.integers(1, 4),
    keep=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_roomy_layer_equals_the_growing_one(steps, rows, keep):
    mine, theirs = RoomyLayer(sum(steps)), DynamicLayer()
    for number, length in enumerate(steps):
        states = torch.randn(rows, 2, length, 3), torch.randn(rows, 2, length, 5)
        for found, expected in zip(mine.update(*states), theirs.update(*states), strict=True):
            assert torch.equal(found, expected)
        index = torch.tensor(keep[:rows]).nonzero().flatten()
        if number == 0 and len(index):
            mine.batch_select_indices(index)
            theirs.batch_select_indices(index)
            rows = len(index)
        assert mine.get_seq_length() == theirs.get_seq_length()


def test_overfull_cache_is_refused():
    layer = RoomyLayer(3)
    layer.update(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4))
    with pytest.raises(ValueError, match="room for 3 positions"):
        layer.update(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4))


def test_sliding_windows_keep_their_own_layers(tiny_pair):
    config = tiny_pair.model("chat").config
    for mine, theirs in zip(roomy_cache(config, 9).layers, DynamicCache(config=config).layers, strict=True):
        assert type(mine) is (RoomyLayer if type(theirs) is DynamicLayer else type(theirs))
