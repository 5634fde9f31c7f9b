"""The histogram of activity against numpy's."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.attribution.histogram import BINS, LOWEST, Histogram


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(2.0**-20, 2.0**20, width=32)), max_size=80), st.integers(1, 90))
def test_counts_are_numpys(entries: list[tuple[int, float]], batch: int) -> None:
    found = Histogram(4)
    for start in range(0, len(entries), batch):
        part = entries[start : start + batch]
        found.add(torch.tensor([latent for latent, _ in part]), torch.tensor([value for _, value in part]))
    edges = [0.0, *(2.0 ** (k + LOWEST) for k in range(1, BINS)), np.inf]
    for latent in range(4):
        values = [np.float32(value) for number, value in entries if number == latent]
        assert found.counts_FK[latent].tolist() == np.histogram(values, edges)[0].tolist()
