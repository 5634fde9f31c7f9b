"""How a process that computes is set up."""

import ctypes

import torch

from crossdiff import products
from crossdiff.errors import UserError

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def prepare(threads: int, device: str = "cpu") -> None:
    """Use this many CPU threads and this device, take bf16 products on a CPU the fast way, and keep freed memory.

    Every step that computes calls it first. Kernels and measurements go to the current GPU, so it is made ``device``.
    UserError if there are no such threads, or no such device here.
    """
    if threads < 1:
        raise UserError(f"--threads {threads}: give 1 or more")
    number = gpu(device)
    torch.set_num_threads(threads)
    if number is None:
        products.widen()
    else:
        torch.cuda.set_device(number)
    keep_freed_memory()


def gpu(device: str) -> int | None:
    """Number of the GPU that a device names, None of the CPU; UserError if it names neither or is not here."""
    kind, colon, number = device.partition(":")
    if device != "cpu" and not (kind == "cuda" and (number.isdecimal() if colon else True)):
        raise UserError(f"--device {device}: give cpu, cuda, or one GPU by its number, as in cuda:1")
    if device == "cpu":
        return None
    found = torch.cuda.device_count()
    if int(number or 0) >= found:
        raise UserError(
            f"--device {device}: torch sees {found or 'no'} GPUs here; give {'a lower number' if found else 'cpu'}"
        )
    return int(number or 0)


def keep_freed_memory() -> None:
    """Let glibc neither map large blocks one by one nor give freed ones back; elsewhere do nothing.

    A training step or a block of a model makes and frees a dozen tensors of tens of megabytes. Asked for anew each
    time, their pages are zeroed and mapped again: about 5 % of the time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_MAX, 0)
