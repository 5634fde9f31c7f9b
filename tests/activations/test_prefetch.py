"""Batches made ahead: the same ones, no thread left behind, and errors where the batch would have been."""

import gc
import threading
import time
from itertools import count, islice

import pytest
import torch
from stored import write

from crossdiff.activations.prefetch import ahead, batches_ahead
from crossdiff.activations.sample import batches
from crossdiff.activations.store import Activations


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    gc.collect()
    assert not threads()


@pytest.fixture
def view(tmp_path):
    return Activations.open(write(tmp_path, [[5, 1], [7], [2, 2, 2]])).view("train")


@pytest.mark.parametrize("start", [0, 3])
def test_the_same_batches_in_the_same_order(view, start):
    for mine, plain in islice(zip(batches_ahead(view, 4, 1, start), batches(view, 4, 1, start), strict=True), 20):
        assert torch.equal(mine, plain)


def test_an_end_is_an_end():
    assert list(ahead(iter(range(7)))) == list(range(7))
    assert list(ahead(iter(()))) == []


def test_so_many_are_made_ahead_and_no_more():
    made = []
    stream = ahead((made.append(n) or n for n in count()), depth=2)
    assert next(stream) == 0
    time.sleep(0.1)
    assert made == [0, 1, 2, 3]  # two wait, and one is in the maker's hands
    stream.close()


def test_an_error_comes_in_its_turn():
    def failing():
        yield from (1, 2)
        raise ValueError("the disk is gone")

    stream = ahead(failing())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(ValueError, match="the disk is gone"):
        next(stream)


def test_the_thread_ends_with_the_iterator(view):
    stream = batches_ahead(view, 4, 0)
    next(stream)
    assert threads()
    stream.close()
    assert not threads()
    stream = batches_ahead(view, 4, 0)
    next(stream)
    del stream
    gc.collect()
    assert not threads()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_the_same_batches(view):
    for mine, plain in islice(zip(batches_ahead(view, 4, 1, 0, "cuda"), batches(view, 4, 1), strict=True), 50):
        assert torch.equal(mine.cpu(), plain)
