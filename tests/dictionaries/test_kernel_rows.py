"""Rows by kernels against their plain statements in `optimise`."""

import kernel_device
import pytest
import torch
from kernel_device import DEVICE

from crossdiff.dictionaries import optimise
from crossdiff.dictionaries.kernels import rows

pytestmark = kernel_device.MARKS
SHAPES = [(1, 1), (3, 5), (7, 64), (2, 131)]


def drawn(shape):
    g = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=g), torch.nn.functional.normalize(torch.randn(shape, generator=g), dim=1)


@pytest.fixture(autouse=True)
def cut_rows(monkeypatch):
    """Rows of several pieces, the last not whole."""
    monkeypatch.setattr(rows, "COLUMNS", 64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_removes_what_is_parallel(shape):
    gradient, unit = drawn(shape)
    mine = gradient.to(DEVICE)
    rows.remove_parallel(mine, unit.to(DEVICE))
    optimise.remove_parallel(gradient, unit)
    torch.testing.assert_close(mine.cpu(), gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scales_rows_to_norm_1(shape):
    matrix, _ = drawn(shape)
    mine = matrix.to(DEVICE)
    rows.to_unit(mine)
    optimise.to_unit(matrix)
    torch.testing.assert_close(mine.cpu(), matrix, rtol=1e-6, atol=1e-7)
