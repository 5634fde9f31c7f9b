"""The machine that a benchmark ran on, in a few facts, and the memory of a part of a process."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from crossdiff import hardware


def machine(device: str = "cpu") -> dict[str, Any]:
    """CPU, cores, memory, threads, versions, and the GPU where one is used."""
    cuda = device.startswith("cuda") and torch.cuda.is_available()
    return {
        "cpu": hardware.cpu_name(),
        "cores": hardware.cores(),
        "memory_gb": memory_gb(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "gpu": torch.cuda.get_device_name(device) if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        "crossdiff": installed("crossdiff"),
    }


def memory_gb() -> float | None:
    """Memory of the machine, decimal gigabytes."""
    total = hardware.memory_bytes()
    return None if total is None else round(total / 1e9, 1)


def installed(name: str) -> str | None:
    """Version of a package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def reset_peak(device: str = "cpu") -> int:
    """Let the peak start again from what is held now, and return that; on a system other than Linux, from the peak."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes(device)


def peak_bytes(device: str = "cpu") -> int:
    """Most memory this process has held since `reset_peak`: allocated on the GPU, or resident."""
    return torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else hardware.peak_bytes()
