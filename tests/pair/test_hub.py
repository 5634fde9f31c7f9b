"""A GGUF of a hub repository comes out of the hub's own cache, whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

from crossdiff.parsing import dump
from crossdiff.parts.pair import Source

COMMIT = "0" * 40
CONTENT = b"GGUF" + bytes(1000)


def take(cache: Path, name: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Run the step offline against a cache folder."""
    source = dump(Source(path="org/tiny", gguf=name))
    command = [sys.executable, "-m", "crossdiff.pair.hub", "--settings", source, "--out", str(out)]
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_cached_file_is_taken_and_a_missing_one_is_told(tmp_path: Path) -> None:
    repository = tmp_path / "cache/models--org--tiny"
    for path, content in ((f"snapshots/{COMMIT}/tiny.gguf", CONTENT), ("refs/main", COMMIT.encode())):
        file = repository / path
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    done = take(tmp_path / "cache", "tiny.gguf", tmp_path / "out/base.gguf")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/base.gguf").read_bytes() == CONTENT

    failed = take(tmp_path / "cache", "absent.gguf", tmp_path / "out/absent.gguf")
    assert failed.returncode == 2
    assert "pair.*.gguf: org/tiny/absent.gguf is not in the local cache" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "out/absent.gguf").exists()
