"""Eight bits: every value comes back within half a level, whatever the shape and however the values lie."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdiff.activations.quantise import TENSORS, decode, encode


def back(encoded):
    return decode(encoded["x"], *(encoded[name] for name in TENSORS))


def streams(x):
    x = x.float()
    return torch.stack([x[:, 0], x[:, 1] - x[:, 0]], 1)


def assert_bounded(x):
    encoded = encode(x)
    half = 0.5 * encoded["scale"][..., None] * encoded["spread"]
    error = (streams(back(encoded)).double() - streams(x).double()).abs()
    size = streams(x).abs() + encoded["centre"].abs() + x.float().abs().amax(1, keepdim=True)
    assert torch.all(error <= half + 2e-6 * size + 1e-30)
    return encoded


@settings(max_examples=80, deadline=None)
@given(
    tokens=st.integers(1, 40),
    width=st.integers(1, 30),
    seed=st.integers(0, 1000),
    size=st.sampled_from([1e-4, 1.0, 3e3]),
    kind=st.sampled_from(["plain", "outlier token", "outlier channel", "constant", "zeros", "same models", "rare"]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_error_is_at_most_half_a_level(tokens, width, seed, size, kind, dtype):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, 2, width, generator=generator) * size
    if kind == "outlier token":
        x[0] *= 200
    elif kind == "outlier channel":
        x[..., 0] = x[..., 0] * 50 + 1000 * size
    elif kind == "constant":
        x[:] = x[0]
    elif kind == "zeros":
        x[:] = 0
    elif kind == "same models":
        x[:, 1] = x[:, 0]
    elif kind == "rare":
        x[:-1, :, 0] = 0
    assert_bounded(x.to(dtype))


def test_the_difference_is_as_exact_as_the_base():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3000, 2, 64, generator=generator) * torch.logspace(-1, 1, 64) + 5
    x[:, 1] = x[:, 0] + 0.2 * torch.randn(3000, 64, generator=generator)
    x[::500] *= 150  # tokens of high norm
    encoded = assert_bounded(x)
    error, kept = streams(back(encoded)) - streams(x), torch.arange(3000) % 500 != 0
    for stream in (0, 1):
        variance = (streams(x)[kept, stream] - streams(x)[kept, stream].mean(0)).square().mean()
        assert error[kept, stream].square().mean() < 1e-4 * variance


def test_identical_models_stay_identical():
    x = torch.randn(50, 1, 8).expand(-1, 2, -1)
    found = back(encode(x))
    assert torch.equal(found[:, 0], found[:, 1])


def test_parts_are_encoded_alike():
    """More tokens than are encoded at a time, and centres of several shards side by side."""
    x = torch.randn(9000, 2, 3)
    encoded = assert_bounded(x)
    assert encoded["x"].dtype == torch.int8
    rows = torch.tensor([0, 8191, 8192, 8999])
    wide = [encoded[name].expand(4, -1, -1) for name in ("centre", "spread")]
    assert torch.equal(decode(encoded["x"][rows], encoded["scale"][rows], *wide), back(encoded)[rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_input_gives_the_same_bytes(dtype):
    x = torch.randn(100, 2, 5).to(dtype)
    assert all(torch.equal(tensor, encode(x)[name]) for name, tensor in encode(x).items())
