"""The machine and memory of a process, held to what the system says by other means."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from crossdiff import hardware


def test_the_machine_is_this_one() -> None:
    found = hardware.machine()
    assert found["cpu"]
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert 1e8 < found["memory_bytes"] <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert found["gpu"] is None or "torch" in sys.modules


@pytest.mark.parametrize(("limit", "less"), [("max\n", False), ("123456789\n", True)])
def test_a_group_may_have_less_memory(limit: str, less: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "LIMIT", tmp_path / "none")
    whole = hardware.memory_bytes()
    (tmp_path / "max").write_text(limit)
    monkeypatch.setattr(hardware, "LIMIT", tmp_path / "max")
    assert hardware.memory_bytes() == (123456789 if less else whole)


def test_the_peak_rises_with_what_is_held_and_stays() -> None:
    program = (
        "from crossdiff import hardware\n"
        "before = hardware.peak_bytes()\n"
        "held = b'x' * 300_000_000\n"
        "del held\n"
        "print(before, hardware.peak_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 280e6 < after - before < 330e6


def test_the_peak_is_what_the_system_counts() -> None:
    unit = 1 if sys.platform == "darwin" else 1024
    counted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert hardware.peak_bytes() == pytest.approx(counted, rel=0.2)


def test_torch_is_not_started_to_ask_for_a_gpu() -> None:
    program = "import sys; from crossdiff import hardware; print(hardware.gpu_name(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
