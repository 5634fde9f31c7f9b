"""Streams find their places, whichever device they come from."""

import pytest
import torch

from crossdiff.activations.landing import Landing


def filled(device):
    generator = torch.Generator().manual_seed(0)
    landing = Landing(90, 2, 7, torch.bfloat16)
    h_nLD = torch.randn(90, 2, 7, generator=generator)
    for place in torch.randperm(90, generator=generator).split(8):
        for number in (0, 1):
            landing.take(place, number, h_nLD[place, number].to(device))
    return h_nLD, *landing.finish()


def test_every_token_is_in_its_place_and_norms_are_those_before_rounding():
    h_nLD, x_nLD, norm_nL = filled("cpu")
    assert torch.equal(x_nLD, h_nLD.bfloat16())
    assert torch.equal(norm_nL, h_nLD.norm(dim=-1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_copies_that_are_not_waited_for_land_as_well():
    h_nLD, x_nLD, norm_nL = filled("cuda")
    assert torch.equal(x_nLD, h_nLD.bfloat16())
    torch.testing.assert_close(norm_nL, h_nLD.norm(dim=-1))
