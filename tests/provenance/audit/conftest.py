"""The finished study, made once, and a copy of it for each test to break."""

import shutil
from pathlib import Path

import pytest

from .finished import build


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study; not to be changed."""
    base = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        build(base, patch)
    return base


@pytest.fixture
def base(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    shutil.copytree(whole, tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    return tmp_path / "study"
