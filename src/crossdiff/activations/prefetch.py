"""Batches made ahead by one thread, so that a step never waits for them; the same batches in the same order."""

import threading
from collections.abc import Iterator
from queue import Empty, Queue
from typing import TypeVar

import torch
from torch import Tensor

from crossdiff.activations.sample import batches
from crossdiff.activations.store import View

T = TypeVar("T")
DEPTH = 2
"""Batches that wait, at most."""


def batches_ahead(
    view: View, batch: int, seed: int, start: int = 0, device: str | torch.device = "cpu"
) -> Iterator[Tensor]:
    """The batches of `crossdiff.activations.sample.batches`, made ahead and, for CUDA, brought to the device.

    Copies go through pinned memory on a stream of their own, beside the computing.
    """
    device = torch.device(device)
    if device.type != "cuda":
        yield from ahead(batches(view, batch, seed, start))
        return
    for x_BLD, event in ahead(_copied(view, batch, seed, start, device)):
        computing = torch.cuda.current_stream(device)
        computing.wait_event(event)
        x_BLD.record_stream(computing)  # its memory is not given to the copying stream before it has been used
        yield x_BLD


def _copied(
    view: View, batch: int, seed: int, start: int, device: torch.device
) -> Iterator[tuple[Tensor, torch.cuda.Event]]:
    """Batches on their way to the device, each with the event of its arrival; all on a stream of their own."""
    copying = torch.cuda.Stream(device)
    with torch.cuda.stream(copying):
        for x_BLD in batches(view, batch, seed, start, device=device):
            event = torch.cuda.Event()
            event.record(copying)
            yield x_BLD, event


def ahead(items: Iterator[T], depth: int = DEPTH) -> Iterator[T]:
    """``items``, of which ``depth`` are made ahead by a thread.

    What they raise is raised here, in its turn. The thread ends with this iterator: when it is exhausted or closed, or
    when nobody holds it any longer.
    """
    made: Queue[tuple[T | None, BaseException | None, bool]] = Queue(depth)
    stopped = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, stopped), name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error, more = made.get()
            if error is not None:
                raise error
            if not more:
                return
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        while thread.is_alive():  # it may be waiting for room
            try:
                made.get(timeout=0.05)
            except Empty:
                thread.join(0)


def _make(
    items: Iterator[T], made: "Queue[tuple[T | None, BaseException | None, bool]]", stopped: threading.Event
) -> None:
    try:
        for item in items:
            made.put((item, None, True))
            if stopped.is_set():
                return
        made.put((None, None, False))
    except BaseException as error:  # raised where the items are used
        made.put((None, error, False))
