"""bf16 products taken in fp32: what they give, what they leave alone, and that a model predicts what it did."""

import pytest
import torch
from torch.nn.functional import linear

from crossdiff import process, products
from crossdiff.products import Widened


def draw(*shape, seed=0, dtype=torch.bfloat16):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


PRODUCTS = {
    "mm": lambda a, b: a @ b,
    "matmul of rows": lambda a, b: a.expand(3, *a.shape) @ b,
    "addmm": lambda a, b: torch.addmm(b[0], a, b),
    "bmm": lambda a, b: torch.bmm(a.expand(3, *a.shape), b.expand(3, *b.shape)),
    "linear": lambda a, b: linear(a, b.T.contiguous()),
    "linear with a bias": lambda a, b: linear(a, b.T.contiguous(), b[0]),
    "mv": lambda a, b: a @ b[:, 0],
}


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_a_product_is_the_fp32_one_rounded(product, context):
    a, b = draw(9, 31), draw(31, 17, seed=1)
    with context():
        expected = product(a.float(), b.float()).bfloat16()
        with Widened():
            found = product(a, b)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)


def test_gradients_are_those_of_fp32_rounded():
    a, b = draw(9, 31).requires_grad_(), draw(31, 17, seed=1).requires_grad_()
    pulled = draw(9, 17, seed=2)
    with Widened():
        (a @ b).backward(pulled)
    assert torch.equal(a.grad, (pulled.float() @ b.float().T).bfloat16())
    assert torch.equal(b.grad, (a.float().T @ pulled.float()).bfloat16())


def test_other_tensors_and_other_work_are_left_alone():
    a, b = draw(9, 31, dtype=torch.float32), draw(31, 17, seed=1, dtype=torch.float32)
    narrow = draw(9, 31)
    with Widened():
        found = a @ b, narrow * narrow, narrow.softmax(1)
        with pytest.raises(RuntimeError, match="dtype"):
            narrow @ b  # the same fault as without
    for one, expected in zip(found, (a @ b, narrow * narrow, narrow.softmax(1)), strict=True):
        assert torch.equal(one, expected)


def test_a_model_predicts_as_its_hardware_would(tiny_pair):
    """Sums in another order, rounded to bf16 in every layer: logits agree as well as bf16 can."""
    model, ids = tiny_pair.model("chat", torch.bfloat16), torch.arange(24).reshape(2, 12) % 20
    with torch.inference_mode():
        expected = model(ids).logits.float()
        with Widened():
            found = model(ids).logits.float()
    assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("lacks", [True, False])
def test_a_step_takes_them_only_where_the_cpu_lacks_them(monkeypatch, lacks):
    monkeypatch.setattr(products, "lacking", lambda: lacks)
    monkeypatch.setattr(products, "_kept", [])
    process.prepare(1)
    process.prepare(1)
    try:
        assert isinstance(products._kept[0], Widened) == lacks
        assert len(products._kept) == 1
    finally:
        products._kept[0].__exit__(None, None, None)


@pytest.mark.parametrize("rows", [1, 9])
def test_linear_has_the_bits_of_pytorch(rows):
    for dtype in (torch.bfloat16, torch.float32):
        x, weight, bias = (draw(*shape, seed=n, dtype=dtype) for n, shape in enumerate([(rows, 33), (17, 33), (17,)]))
        with products.widened():
            assert torch.equal(products.linear(x, weight, bias), linear(x, weight, bias))


def test_linear_is_widened_where_bf16_is_slow(monkeypatch):
    monkeypatch.setattr(products, "lacking", lambda: True)
    x, weight, bias = draw(9, 33), draw(17, 33, seed=1), draw(17, seed=2)
    with Widened():
        found = products.linear(x, weight, bias)
    assert torch.equal(found, linear(x.float(), weight.float(), bias.float()).bfloat16())
