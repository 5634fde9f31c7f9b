"""Statistics against numpy in float64, also far from the origin and in odd blocks."""

from functools import reduce

import numpy as np
import pytest
import torch

from crossdiff.activations.stats import Moments, commonest, norm_thresholds, summary


def made(tokens=700, width=6, offset=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(tokens, width, generator=generator) * torch.arange(1, width + 1) + offset
    chat = base + 0.3 * torch.randn(tokens, width, generator=generator) + 1
    return torch.stack([base, chat], 1)


def in_blocks(x, sizes):
    return reduce(Moments.__add__, map(Moments.of, x.split(sizes)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("size", [1, 64, 699, 700])
def test_summary_against_numpy(dtype, offset, size):
    x = made(offset=offset).to(dtype)
    source = np.arange(700) % 3 == 0
    found = summary({"a": in_blocks(x[source], size), "b": in_blocks(x[~source], size)})
    exact = x.double().numpy()
    chat = exact[:, 1]
    difference = (x[:, 1].float() - x[:, 0].float()).double().numpy()
    np.testing.assert_allclose(found["mean"], exact.mean(0), rtol=1e-6, atol=1e-6)
    centred = exact - exact.mean(0)
    np.testing.assert_allclose(found["scale"], np.sqrt(6 / (centred**2).sum(-1).mean()), rtol=1e-5)
    np.testing.assert_allclose(found["difference"]["mean"], difference.mean(0), rtol=1e-5, atol=1e-6)
    moved, spread = difference - difference.mean(0), chat - chat.mean(0)
    np.testing.assert_allclose(found["difference"]["scale"], np.sqrt(6 / (moved**2).sum(-1).mean()), rtol=1e-4)
    share = found["difference_share"]
    np.testing.assert_allclose(share["overall"], (moved**2).sum() / (spread**2).sum(), rtol=1e-4)
    for name, of in (("a", source), ("b", ~source)):
        np.testing.assert_allclose(share["sources"][name], (moved[of] ** 2).sum() / (spread[of] ** 2).sum(), rtol=1e-4)


def test_normalised_tokens_have_norm_sqrt_width():
    x = made()
    found = summary({"a": Moments.of(x)})
    normal = (x - torch.tensor(found["mean"])) * found["scale"]
    assert float(normal.square().sum(-1).mean()) == pytest.approx(6, rel=1e-5)


def test_many_tokens_far_from_the_origin_keep_their_precision():
    """A running mean in bfloat16 stands still at 300: no step of 1/n is left of its 8 bits."""
    x = (made(60_000, 2, offset=300)).bfloat16()
    found = in_blocks(x, 512)
    np.testing.assert_allclose(found.mean_SD[:2], x.double().mean(0), rtol=1e-7)


def test_equal_models_have_no_difference():
    x = made()[:, :1].repeat(1, 2, 1)
    found = summary({"a": Moments.of(x)})
    assert found["difference_share"] == {"overall": 0.0, "sources": {"a": 0.0}}
    assert found["difference"]["scale"] is None


def test_thresholds_are_multiples_of_each_models_median():
    norm = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [900.0, 40.0]])
    assert norm_thresholds(norm, 4.0) == [10.0, 100.0]
    assert norm_thresholds(norm, None) is None


def test_commonest():
    token, role = torch.tensor([5, 5, 7, 5, 9, 9]), torch.tensor([0, 0, 1, 1, 2, 2])
    assert commonest(token, role, 3) == [(5, 0, 2), (9, 2, 2), (5, 1, 1)]
