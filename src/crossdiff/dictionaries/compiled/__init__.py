"""Kernels of the training step and of Adam for CPUs, each beside a plain statement of the same elsewhere.

numba compiles them when they are first used and keeps them beside the code, so later processes only load them. `select`
finds the entries worth a look, `codes` rebuilds the tokens and returns to the latents, `adam` moves the weights.
Every row is worked on by one thread in a fixed order, so a step repeats bit for bit, whatever the number of threads.
numba is imported by these modules only, and they only where `serve` says yes.
"""

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

OPTIONS: dict[str, Any] = {
    "fastmath": True,
    "error_model": "numpy",
    "cache": any(os.access(place, os.W_OK) for place in (Path(__file__).parent, Path("~").expanduser())),
}
"""Of every kernel: sums may be taken in another order than written, as PyTorch's are; and what was compiled is kept, if
there is a place."""


def serve(tensor: Tensor) -> bool:
    """Whether the kernels can work on a tensor: it lies in a CPU's memory, and numba is there."""
    return tensor.device.type == "cpu" and _numba()


def cut(rows: int, work: np.ndarray | None = None) -> np.ndarray:
    """Where the parts of the rows end, int64, from 0 on: a part for each thread that PyTorch uses, numba's from now on.

    The parts are of one size or, given the ``work`` before each row and after the last, [rows + 1], of one work.
    """
    import numba

    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(threads)
    share = np.arange(threads + 1) / threads
    if work is None:
        return (share * rows).astype(np.int64)
    return np.searchsorted(work, share * work[-1]).clip(max=rows)


@cache
def _numba() -> bool:
    return find_spec("numba") is not None
