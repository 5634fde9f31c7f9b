"""Kernels of the training step and of Adam for CPUs, each beside a plain statement of the same elsewhere.

numba compiles `choosing`, `kernels` and `moving` when they are first used, for a quarter of a minute, and keeps them
beside the code: later processes only load them. `passes` calls them on tensors. A row is worked on by one thread in a
fixed order, so what they give repeats bit for bit and does not depend on the number of threads. numba is imported here
only, and only where `serve` says yes.
"""

from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor


def serve(tensor: Tensor) -> bool:
    """Whether the kernels can work on a tensor: it lies in a CPU's memory, and numba is there."""
    return tensor.device.type == "cpu" and there()


@cache
def there() -> bool:
    """Whether numba is there."""
    return find_spec("numba") is not None


def cut(rows: int, work: np.ndarray | None = None) -> np.ndarray:
    """Where the parts of the rows end, int64, from 0 on: a part for each thread that PyTorch uses, numba's from now on.

    The parts are of one size or, given the ``work`` before each row and after the last, [rows + 1], of one work.
    """
    threads = torch.get_num_threads()
    if threads > 1:
        import numba

        threads = min(threads, numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
        numba.set_num_threads(threads)
    share = np.arange(threads + 1) / threads
    if work is None:
        return (share * rows).astype(np.int64)
    return np.searchsorted(work, share * work[-1]).clip(max=rows)


def stored(value: Tensor) -> np.ndarray:
    """A CPU tensor as NumPy and kernels read it: bf16 as int16, where numbers that are not negative keep their order.

    Negative ones become negative integers, so that comparisons with numbers that are not negative are right, too.
    """
    return value.view(torch.int16 if value.dtype == torch.bfloat16 else value.dtype).numpy()
