"""Fixtures of the tests of dictionaries."""

import pytest
import torch


@pytest.fixture(params=[1, 2])
def threads(request):
    """Threads of PyTorch, and so of the kernels."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
