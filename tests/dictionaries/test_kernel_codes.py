"""Decoding and gradients of the kernels against `codes.SparseCodes`, which `test_step` holds to autograd."""

import kernel_device
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_device import DEVICE

from crossdiff.dictionaries.codes import SparseCodes
from crossdiff.dictionaries.kernels import decode, gradients, select
from crossdiff.dictionaries.select import batch_topk

pytestmark = kernel_device.MARKS


def draw(tokens, latents, width, seed, shift=0.0, often=0):
    """Preactivations, decoder, bias, x, ∂loss/∂x̂ and encoder input; the first ``often`` latents fire on all tokens."""
    g = torch.Generator().manual_seed(seed)
    pre = torch.randn(tokens, latents, generator=g) + shift
    pre[:, :often] = 9 + torch.rand(tokens, min(often, latents), generator=g)
    shapes = (latents, width), (width,), (tokens, width), (tokens, width), (tokens, width)
    return pre, *(torch.randn(shape, generator=g) for shape in shapes)


def compare(given, count):
    pre, decoder, bias, x, delta, input_ = given
    tokens, latents = pre.shape
    kept = batch_topk(pre, torch.ones(latents), count)
    plain = SparseCodes.of(kept.flat_N, kept.value_N, tokens, latents)
    pre, decoder_, bias_, x_, delta_, input__ = (tensor.to(DEVICE) for tensor in given)
    chosen = select.batch_topk(pre, torch.ones(latents, device=DEVICE), count)
    error = decode.error_of(chosen, decoder_, bias_, x_)
    torch.testing.assert_close(error.cpu(), plain.error(x, decoder, bias), rtol=1e-5, atol=1e-4)
    parts = gradients.segments(chosen, latents)
    assert torch.equal(parts.fired_F.cpu(), plain.fired())
    pulled, squares = gradients.pull(parts, decoder_, delta_, input__)
    for mine, other in zip(pulled.gradients, plain.pull(decoder, delta, input_, None).gradients, strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=0, atol=1e-5 * max(1.0, float(other.abs().max())))
    wanted = sum(float(tensor.double().square().sum()) for tensor in pulled.gradients)
    assert float(squares) == pytest.approx(wanted, rel=1e-5, abs=1e-12)
    again, _ = gradients.pull(gradients.segments(chosen, latents), decoder_, delta_, input__)
    assert all(torch.equal(one, two) for one, two in zip(pulled.gradients, again.gradients, strict=True))
    return parts


@given(
    tokens=st.integers(1, 5),
    latents=st.integers(1, 13),
    models=st.sampled_from([1, 2, 3]),
    width=st.integers(1, 5),
    k=st.integers(1, 5),
    shift=st.sampled_from([-9.0, -1.0, 0.0, 2.0]),
    chunk=st.sampled_from([2, 128]),
    columns=st.sampled_from([4, 512]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=kernel_device.EXAMPLES, deadline=None)
def test_equals_sparse_codes(tokens, latents, models, width, k, shift, chunk, columns, seed):
    """Small chunks send most latents by the spill; few columns cut rows; a shift makes none or all fire."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "CHUNK", chunk)
        patch.setattr(gradients, "COLUMNS", columns)
        patch.setattr(decode, "COLUMNS", columns)
        compare(draw(tokens, latents, models * width, seed, shift), tokens * min(k, latents))


def test_latents_that_fire_on_every_token_go_by_the_spill(monkeypatch):
    monkeypatch.setattr(gradients, "CHUNK", 16)
    parts = compare(draw(40, 19, 5, 0, often=2), 40 * 3)
    chunks = parts.chunk_F.diff().tolist()
    assert chunks[:2] == [3, 3]
    assert chunks[2:] == [1] * 17
    assert int((parts.latent_S < 19).sum()) == 6


def test_slots_left_over_have_no_effect():
    """Their token is a real one and their latent none: with twice the slots, all is the same bit for bit."""
    pre, decoder, bias, x, delta, input_ = (tensor.to(DEVICE) for tensor in draw(6, 11, 8, 3, shift=-1.0))
    weight = torch.ones(11, device=DEVICE)
    positive = int((pre > 0).sum())
    results = []
    for count in (positive, 2 * positive):
        chosen = select.batch_topk(pre, weight, count)
        parts = gradients.segments(chosen, 11)
        pulled, _ = gradients.pull(parts, decoder, delta, input_)
        results.append([decode.error_of(chosen, decoder, bias, x), *pulled.gradients])
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def test_bf16_operands_are_summed_in_fp32():
    """As if they had been rounded before and were fp32: bit for bit."""
    pre, decoder, _, _, delta, input_ = (tensor.to(DEVICE) for tensor in draw(9, 14, 12, 4))
    chosen = select.batch_topk(pre, torch.ones(14, device=DEVICE), 9 * 3)
    parts = gradients.segments(chosen, 14)
    narrow = [tensor.bfloat16() for tensor in (delta, input_)]
    once, _ = gradients.pull(parts, decoder, *narrow)
    again, _ = gradients.pull(parts, decoder, *(tensor.float() for tensor in narrow))
    assert all(tensor.dtype == torch.float32 for tensor in once.gradients)
    assert all(torch.equal(one, two) for one, two in zip(once.gradients, again.gradients, strict=True))
