"""Training tokens that are not stored: both models read them whenever they are needed, a window at a time.

An epoch visits all training rows in a drawn order, cut into windows of about ``buffer_tokens``. A window is read into
memory and is then what a store is: activations with rows, norms and masks, of which each dictionary takes the kept
tokens of its sources in an order of its own. So a window costs both models one pass whatever the number of
dictionaries, and since it depends on nothing but its number, a training goes on at any window.

B tokens, L models, D width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from crossdiff.activations.checks import check_finite
from crossdiff.activations.extract import Models, Rows, extract
from crossdiff.activations.quantise import encode
from crossdiff.activations.store import Activations, View


@dataclass(frozen=True)
class Held(Activations):
    """Activations in memory."""

    parts: list[dict[str, Tensor]] = field(default_factory=list)
    """What shards would hold."""

    @cached_property
    def tensors(self) -> list[dict[str, Tensor]]:
        """Tensors of every part."""
        return self.parts


@dataclass(frozen=True)
class Stream:
    """The training rows and what reads them."""

    models: Models
    layer: int
    rows: Rows
    """Training rows, with their numbers."""
    store: Activations
    """The stored sample: its sources, and what it masks."""
    dtype: torch.dtype
    """How a window is held: as the models give it, rounded, or in 8 bits."""
    batch_tokens: int
    buffer_tokens: int

    def windows(self, start: int = 0) -> Iterator[tuple[int, Tensor]]:
        """Number, and places in ``rows`` (int64), of each window from ``start`` on, without end; nothing is read."""
        number = epoch = 0
        while True:
            order = torch.from_numpy(np.random.default_rng(epoch).permutation(len(self.rows.lengths_R)))
            held = torch.cumsum(self.rows.lengths_R[order], 0)
            window_R = (held - 1) // self.buffer_tokens
            for rows_W in order.split(torch.unique_consecutive(window_R, return_counts=True)[1].tolist()):
                if number >= start:
                    yield number, rows_W
                number += 1
            epoch += 1

    def read(self, rows_W: Tensor, sources: Sequence[str]) -> Held:
        """A window's rows of the sources named, with their activations.

        Each source is read by itself, so that its activations do not depend on which others are wanted.
        """
        parts = []
        source_W = self.store.source_R[self.rows.number_R[rows_W]]
        for source in sources:
            mine = rows_W[source_W == self.store.sources.index(source)]
            if len(mine):
                parts.append(self._part(self.rows.only(mine)))
        known = {f.name: getattr(self.store, f.name) for f in fields(Activations)}
        return Held(**known | {"shards": []}, parts=parts)

    def _part(self, rows: Rows) -> dict[str, Tensor]:
        everything = range(len(rows.lengths_R))
        dtype = self.models[0].dtype if self.dtype == torch.int8 else self.dtype
        tensors = extract(self.models, self.layer, rows, everything, self.batch_tokens, dtype, lambda tokens: None)
        check_finite(tensors)
        return tensors | (encode(tensors["x"]) if self.dtype == torch.int8 else {})


class Feed:
    """One dictionary's batches of the windows: every kept token of its sources once an epoch.

    What is left of a window when no whole batch is, begins the first batch of the next.
    """

    def __init__(self, batch: int, seed: int, sources: Sequence[str] | None, carried_BLD: Tensor | None = None):
        self.batch, self.seed, self.sources = batch, seed, sources
        self.carried_BLD = carried_BLD
        """Left over from earlier windows, raw; None before the first."""

    def batches(self, window: Activations, number: int, device: str | torch.device = "cpu") -> Iterator[Tensor]:
        """Raw x_BLD of window ``number`` on ``device``, B = ``batch``, in an order drawn by seed and number."""
        view: View = window.view("train", self.sources)
        order = torch.from_numpy(np.random.default_rng([self.seed, number]).permutation(view.tokens))
        while len(order):
            carried = 0 if self.carried_BLD is None else len(self.carried_BLD)
            taken, order = order[: self.batch - carried], order[self.batch - carried :]
            x_BLD = view.gather(taken, device)
            if self.carried_BLD is not None:
                x_BLD = torch.cat([self.carried_BLD, x_BLD])
            whole = len(x_BLD) == self.batch
            self.carried_BLD = None if whole else x_BLD
            if whole:
                yield x_BLD
