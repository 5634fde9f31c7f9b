"""The sample of when latents fire: which tokens it holds, and that cosines survive its one byte."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.attribution import tables
from crossdiff.attribution.firing import Firing


def sampled(active_TF: torch.Tensor, sample: int, batch: int = 7) -> pl.DataFrame:
    """The table of dense activities, added a batch at a time."""
    firing = Firing(len(active_TF), sample)
    for first in range(0, len(active_TF), batch):
        part = active_TF[first : first + batch]
        token_N, latent_N = part.nonzero(as_tuple=True)
        firing.add(token_N + first, latent_N, part[token_N, latent_N])
    return tables.firing(firing)


def activities(tokens: int, latents: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(tokens, latents, generator=generator) * torch.rand(latents, generator=generator) * 100
    return active * (torch.rand(tokens, latents, generator=generator) < 0.2)


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 70), st.integers(0, 99))
def test_every_stride_th_token_is_kept_whole_and_never_too_many(tokens, latents, sample, seed):
    active = activities(tokens, latents, seed)
    table = sampled(active, sample)
    stride = Firing(tokens, sample).stride
    assert len(range(0, tokens, stride)) <= sample
    expected = {(t, f) for t, f in active.nonzero().tolist() if t % stride == 0}
    assert set(table.select("token", "latent").rows()) == expected
    assert table.rows() == table.sort("latent", "token").rows()


def test_levels_keep_the_cosines_of_activities():
    active = activities(4000, 2)
    active[:, 1] += active[:, 0] * 0.5
    table = sampled(active, 4000)
    assert (table["level"].min(), table["level"].max()) == (1, 255)
    found = np.zeros((4000, 2))
    found[table["token"].to_numpy(), table["latent"].to_numpy()] = table["level"]
    a, b = active.numpy().T.astype(float)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert found[:, 0] @ found[:, 1] / np.linalg.norm(found, axis=0).prod() == pytest.approx(cosine, abs=0.005)


def test_a_dictionary_that_never_fires_leaves_an_empty_table():
    assert sampled(torch.zeros(10, 3), 10).shape == (0, 3)
