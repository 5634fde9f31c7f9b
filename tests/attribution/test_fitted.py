"""Δ of fitted rows: what training shrank is given back, and what is gone stays gone."""

from dataclasses import replace

import pytest
import torch
from made import make_dictionary

from crossdiff.activations.store import Block
from crossdiff.attribution.measure import columns, measure


def fitted(trained_base, true_base, trained_chat=1.0, noise=0.0):
    """Columns for one latent whose streams are true·f·v, read by a dictionary that wrote trained·f·v."""
    generator = torch.Generator().manual_seed(0)
    v = torch.tensor([1.0, 0, 0, 0])
    dictionary = replace(
        make_dictionary(width=4, latents=1, threshold=0.0),
        encoder=torch.stack([torch.zeros(4, 1), v[:, None]]),
        encoder_bias=torch.zeros(1),
        decoder=torch.stack([trained_base * v, trained_chat * v])[:, None],
        decoder_bias=torch.zeros(2, 4),
        mean=torch.zeros(2, 4),
        scale=torch.tensor(0.5),
    )
    # The encoder reads v of the chat stream, scaled by 0.5: f = ½·|chat along v|, and directions are decoder / 0.5.
    f_B = torch.rand(400, generator=generator) * (torch.rand(400, generator=generator) < 0.3)
    x_BLD = torch.stack([true_base * f_B[:, None] * v, f_B[:, None] * v], 1)
    x_BLD += noise * torch.randn(400, 2, 4, generator=generator) * torch.tensor([[1.0], [0.0]])
    row_B = torch.arange(400, dtype=torch.int32) // 10
    zeros = torch.zeros(400, dtype=torch.int32)
    block = Block(x_BLD, row_B, zeros, zeros, zeros.to(torch.uint8))
    measured = measure(dictionary, [block], ["web"], torch.zeros(40).long(), torch.arange(40) // 4, lambda n: None)
    return {name: column for name, column in columns(dictionary, measured).items() if isinstance(column, torch.Tensor)}


@pytest.mark.parametrize(
    ("trained", "true", "delta"), [(1.0, 1.0, 0.5), (0.1, 0.5, 0.75), (0.1, 0.0, 1.0), (2.0, 2.0, 0.25)]
)
def test_the_size_that_the_rows_have(trained, true, delta):
    found = fitted(trained, true)
    assert float(found["delta_fitted"]) == pytest.approx(delta, abs=1e-5)
    if true:
        assert float(found["strength_ratio"]) == pytest.approx(-torch.tensor(true).log().item(), abs=1e-4)
        assert float(found["delta_fitted_se"]) < 1e-4


def test_a_row_of_length_zero_is_not_given_back():
    found = fitted(0.0, 1.0)
    assert float(found["delta_fitted"]) == 1
    assert bool(found["strength_ratio"].isinf())


def test_noise_widens_the_interval():
    quiet, loud = fitted(0.5, 0.5, noise=0.01), fitted(0.5, 0.5, noise=0.3)
    assert 0 < float(quiet["delta_fitted_se"]) < float(loud["delta_fitted_se"])
    assert abs(float(loud["delta_fitted"]) - 0.75) < 4 * float(loud["delta_fitted_se"])
