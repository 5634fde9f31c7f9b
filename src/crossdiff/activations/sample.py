"""Shuffled batches of stored activations: every kept token once an epoch, and resumable at any step.

An epoch visits windows of whole shards in a seeded order and shuffles all tokens of a window. A window is as large as
comfortably stays in memory: small studies are shuffled as a whole, large ones read their disk in long stretches.
B tokens, L models, D width.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from crossdiff.activations.store import View
from crossdiff.errors import UserError

WINDOW_BYTES = 8 * 2**30


def batches(
    view: View,
    batch: int,
    seed: int,
    start: int = 0,
    window_bytes: int = WINDOW_BYTES,
    device: str | torch.device = "cpu",
) -> Iterator[Tensor]:
    """Raw x_BLD without end, B = ``batch``, on ``device``; step ``start`` is the first that is given.

    The epochs follow one another without a gap, so a batch may hold the last tokens of one and the first of the next.
    The order depends on the seed, the kept tokens, the shards and ``window_bytes`` alone. Within a batch tokens stand
    in stored order, which reads faster.
    """
    for index_B in indices(view, batch, seed, start, window_bytes):
        yield view.gather(index_B, device)


def indices(view: View, batch: int, seed: int, start: int = 0, window_bytes: int = WINDOW_BYTES) -> Iterator[Tensor]:
    """Sorted token numbers, int64 [batch], of each step from ``start`` on."""
    if not view.tokens:
        raise UserError("activations: no token is left to sample; choose other sources, or raise outlier_factor")
    stream = _stream(view, seed, start * batch, window_bytes)
    held = next(stream)
    while True:
        while len(held) < batch:
            held = np.concatenate([held, next(stream)])
        yield torch.from_numpy(np.sort(held[:batch]))
        held = held[batch:]


def _stream(view: View, seed: int, skip: int, window_bytes: int) -> Iterator[np.ndarray]:
    """Shuffled windows, epoch after epoch, without the first ``skip`` tokens."""
    epoch, skip = divmod(skip, view.tokens)
    while True:
        for number, window in enumerate(_windows(view, seed, epoch, window_bytes)):
            size = int(view.counts[window].sum())
            if skip >= size:  # a window that was used up before need not be shuffled again
                skip -= size
                continue
            tokens = np.concatenate([np.arange(int(view.counts[s])) + int(view.starts[s]) for s in window])
            np.random.default_rng([seed, epoch, number]).shuffle(tokens)
            yield tokens[skip:]
            skip = 0
        epoch += 1


def _windows(view: View, seed: int, epoch: int, window_bytes: int) -> list[list[int]]:
    """Shards of each window, in the order of this epoch."""
    size = [shard.bytes for shard in view.activations.shards]
    windows: list[list[int]] = []
    held = 0
    for shard in np.random.default_rng([seed, epoch]).permutation(len(size)).tolist():
        if windows and held + size[shard] <= window_bytes:
            windows[-1].append(shard)
            held += size[shard]
        else:
            windows.append([shard])
            held = size[shard]
    return windows
