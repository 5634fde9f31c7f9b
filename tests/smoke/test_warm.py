"""A command of the process with the slow imports done ends, speaks and sees the world as a fresh one does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow]
PROGRAM = """
import os, sys
print(os.getcwd(), os.environ["HERE"], sys.argv[1:], __name__, "crossdiff" in sys.modules)
print(sys.stdin.read(), file=sys.stderr)
{end}
"""
ENDS = {
    "pass": 0,
    "sys.exit(3)": 3,
    "sys.exit('why')": 1,
    "raise ValueError('why')": 1,
    "os.kill(os.getpid(), 9)": 128 + 9,
}


def run(python: Path, folder: Path, end: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(PROGRAM.format(end=end))
    environment = {"PYTHONPATH": str(folder), "HERE": "there", "PATH": os.environ["PATH"]}
    command = [python, "-m", "program", "--a", "b c"]
    return subprocess.run(
        command, cwd=folder, env=environment, input="said", capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_and_speaks_as_a_fresh_one(tools: Path, tmp_path: Path, end: str) -> None:
    found, fresh = (run(python, tmp_path, end) for python in (tools / "python", Path(sys.executable)))
    assert found.returncode == ENDS[end]
    assert fresh.returncode in (ENDS[end], 128 - ENDS[end])
    assert fresh.stdout in (found.stdout, "")  # what a killed process holds is lost
    assert found.stderr.splitlines()[:1] == ["said"]
    assert found.stderr.splitlines()[-1:] == fresh.stderr.splitlines()[-1:]


def test_it_is_ended_with_its_caller(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}
    with subprocess.Popen([tools / "python", "-m", "program"], env=environment, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        number = int(caller.stdout.readline())
        caller.kill()
        until = time.monotonic() + 20
        while Path(f"/proc/{number}").exists():
            assert time.monotonic() < until, "it runs on"
            time.sleep(0.05)
