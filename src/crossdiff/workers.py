"""Pieces of work on as many threads as the process has, each of which computes alone.

Threads that share a product wait for each other at each of a block's small ones: two threads that run a forward each
read an eighth more tokens a second than two that share every product (SmolLM2-135M, bf16). A piece gives the same bits
whatever the number of threads. What a forward holds is held by every thread.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from crossdiff import products

Item = TypeVar("Item")
Result = TypeVar("Result")
Models = Sequence[PreTrainedModel]


def each(work: Callable[[Models, Item], Result], models: Models, items: Iterable[Item]) -> Iterator[Result]:
    """``work(models, item)`` of every item, in order; what a piece raises is raised here.

    No two pieces have the same models at a time, so ``work`` may hook into them: each thread has its own, with the
    weights of ``models``. On a GPU, where the device is what computes, and with one thread the pieces run one after
    the other on the caller's. Modes of the caller, as that gradients are off, do not reach the threads: ``work`` sets
    its own.
    """
    threads = torch.get_num_threads()
    if threads == 1 or any(model.device.type != "cpu" for model in models):
        yield from (work(models, item) for item in items)
        return
    spare: SimpleQueue[Models] = SimpleQueue()
    for number in range(threads):
        spare.put(models if number == 0 else [sharing_weights(model) for model in models])

    def run(item: Item) -> Result:
        mine = spare.get()
        try:
            with products.widened():
                return work(mine, item)
        finally:
            spare.put(mine)

    try:
        with ThreadPoolExecutor(threads, "worker", partial(torch.set_num_threads, 1)) as pool:
            yield from pool.map(run, items)
    finally:
        torch.set_num_threads(threads)  # PyTorch gives new threads what was last set anywhere


def sharing_weights(model: PreTrainedModel) -> PreTrainedModel:
    """A model whose parameters and buffers are those of ``model``, and whose modules and hooks are its own."""
    kept = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, kept)
