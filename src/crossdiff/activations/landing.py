"""Streams come down from the device and find their places in a shard.

From CUDA the copies go through pinned memory and are not waited for: a batch is put in its place while the next ones
are computed. On the CPU there is nothing to wait for.

n tokens of a shard, B tokens of a batch, L models, D width.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

IN_FLIGHT = 4
"""Copies under way at most; each holds a batch of one model in pinned memory."""


class Landing:
    """A shard being filled: x [n, L, D] in ``dtype`` and norm [n, L] float32, in memory of the host."""

    def __init__(self, tokens: int, models: int, width: int, dtype: torch.dtype):
        self._x_nLD = torch.empty(tokens, models, width, dtype=dtype)
        self._norm_nL = torch.empty(tokens, models)
        self._waiting: deque[tuple[torch.cuda.Event, Callable[[], None]]] = deque()

    @torch.inference_mode()
    def take(self, place_B: Tensor, number: int, h_BD: Tensor) -> None:
        """The stream of model ``number`` at tokens ``place_B`` (int64), on any device; norms are taken unrounded."""
        norm_B, x_BD = h_BD.float().norm(dim=-1), h_BD.to(self._x_nLD.dtype)
        if h_BD.device.type != "cuda":
            self._put(place_B, number, x_BD.cpu(), norm_B.cpu())
            return
        put = partial(self._put, place_B, number, _pinned(x_BD), _pinned(norm_B))
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(h_BD.device))
        self._waiting.append((event, put))
        if len(self._waiting) > IN_FLIGHT:
            self._settle()

    def finish(self) -> tuple[Tensor, Tensor]:
        """x and norm, once every copy has come down."""
        while self._waiting:
            self._settle()
        return self._x_nLD, self._norm_nL

    def _settle(self) -> None:
        event, put = self._waiting.popleft()
        event.synchronize()
        put()

    def _put(self, place_B: Tensor, number: int, x_BD: Tensor, norm_B: Tensor) -> None:
        self._x_nLD[place_B, number] = x_BD
        self._norm_nL[place_B, number] = norm_B


def _pinned(tensor: Tensor) -> Tensor:
    """A copy in pinned memory, complete once the device's current stream has come so far."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
