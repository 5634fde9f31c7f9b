"""Memory that a training step frees stays with the process."""

import ctypes

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Let glibc neither map large blocks one by one nor give freed ones back; elsewhere do nothing.

    A step makes and frees a dozen tensors of tens of megabytes. Asked for anew each time, their pages are zeroed
    and mapped again: about 5 % of a step. For processes that do nothing but train.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_MAX, 0)
