"""Triton kernels of the training step and of Adam, each beside a plain statement of the same elsewhere.

`select` chooses the entries, `decode` rebuilds the tokens, `gradients` returns to the latents, `adam` moves the
weights, `rows` keeps those of an SAE's decoder at norm 1. No kernel adds floats atomically, none waits for the host: a
step repeats bit for bit. Triton is imported by these five modules only, and they only where `serve` says yes.
"""

from functools import cache
from importlib.util import find_spec

from torch import Tensor


def serve(tensor: Tensor) -> bool:
    """Whether the kernels can work on a tensor: it lies on a CUDA device, and Triton is there."""
    return tensor.is_cuda and _triton()


@cache
def _triton() -> bool:
    return find_spec("triton") is not None
