"""The machine that a process runs on, in a few facts, and the memory it has held. Imports torch nowhere.

Of a GPU only a process that uses one can tell: what torch has already started is asked, nothing is started for it.
"""

import os
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

LIMIT = Path("/sys/fs/cgroup/memory.max")


def machine() -> dict[str, Any]:
    """CPU, cores and bytes of memory that this process may use, and its GPU; None where the system does not tell."""
    return {"cpu": cpu_name(), "cores": cores(), "memory_bytes": memory_bytes(), "gpu": gpu_name()}


def cpu_name() -> str:
    """Model name of the CPU, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cores() -> int | None:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def memory_bytes() -> int | None:
    """Memory of the machine, or of the group that this process is in where that is less."""
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    allowed = LIMIT.read_text().strip() if LIMIT.is_file() else "max"
    return whole if allowed == "max" else min(whole, int(allowed))


def gpu_name() -> str | None:
    """The GPU that torch computes on in this process; None if it has not touched one."""
    torch = _started()
    return str(torch.cuda.get_device_name()) if torch else None


def peak_bytes() -> int:
    """Most memory that this process has held resident, in bytes; its children are not counted."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def gpu_peak_bytes() -> int | None:
    """Most memory that torch has held on the GPU in this process; None if it has not touched one."""
    torch = _started()
    return int(torch.cuda.max_memory_allocated()) if torch else None


def _started() -> Any:
    torch = sys.modules.get("torch")
    return torch if torch and torch.cuda.is_available() and torch.cuda.is_initialized() else None
