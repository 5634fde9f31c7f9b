"""How a process that computes is set up."""

import ctypes

import torch

from crossdiff import products

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def prepare(threads: int, device: str = "cpu") -> None:
    """Use this many CPU threads and this device, take bf16 products on a CPU the fast way, and keep freed memory.

    Every step that computes calls it first. Kernels and measurements go to the current GPU, so it is made ``device``.
    """
    torch.set_num_threads(threads)
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device).index or 0)
    else:
        products.widen()
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc neither map large blocks one by one nor give freed ones back; elsewhere do nothing.

    A training step or a block of a model makes and frees a dozen tensors of tens of megabytes. Asked for anew each
    time, their pages are zeroed and mapped again: about 5 % of the time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_MAX, 0)
