"""Which files a step runs: all it imports, nothing else."""

from pathlib import Path

import pytest

from crossdiff import sources as found_in
from crossdiff.errors import UserError
from crossdiff.sources import sources

TREE = {
    "study/__init__.py": "",
    "study/a.py": "import study.deep.one\nimport json\n",
    "study/b.py": "from .deep import two as other\nfrom . import missing\n",
    "study/late.py": "def run():\n    from study import a\n",
    "study/typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from study import a\n",
    "study/deep/__init__.py": "def __getattr__(name):\n    from study.deep import heavy\n    return heavy.name\n",
    "study/deep/__main__.py": "from study import b\n",
    "study/deep/one.py": "from study.deep.two import number\n",
    "study/deep/two.py": "number = 2\n",
    "study/deep/heavy.py": "import torch\n",
    "study/deep/words.txt": "data",
    "study/lazy.py": "from study.deep import name\n",
    "study/circle.py": "import study.circle\n",
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for cached in (found_in.sources, found_in._file, found_in._imports):
        cached.cache_clear()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in TREE.items():
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(found_in, "SRC", tmp_path / "src")
    monkeypatch.chdir(tmp_path)


def short(module: str, *data: str) -> list[str]:
    return [path.removeprefix("src/study/") for path in sources(module, *data)]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("module", "files"),
    [
        ("study.a", ["__init__.py", "a.py", "deep/__init__.py", "deep/one.py", "deep/two.py"]),
        ("study.b", ["__init__.py", "b.py", "deep/__init__.py", "deep/two.py"]),
        ("study.late", ["__init__.py", "a.py", "deep/__init__.py", "deep/one.py", "deep/two.py", "late.py"]),
        ("study.typed", ["__init__.py", "typed.py"]),
        ("study.lazy", ["__init__.py", "deep/__init__.py", "deep/heavy.py", "lazy.py"]),
        (
            "study.deep",
            ["__init__.py", "b.py", "deep/__init__.py", "deep/__main__.py", "deep/heavy.py", "deep/two.py"],
        ),
        ("study.circle", ["__init__.py", "circle.py"]),
    ],
)
def test_follows_imports(module: str, files: list[str]) -> None:
    assert short(module) == files


@pytest.mark.usefixtures("tree")
def test_takes_data_files_beside_the_module() -> None:
    assert "deep/words.txt" in short("study.deep", "*.txt")
    assert "deep/words.txt" in short("study.deep.one", "*.txt")
    assert "deep/words.txt" not in short("study.deep")


@pytest.mark.usefixtures("tree")
def test_names_what_is_missing() -> None:
    with pytest.raises(UserError, match=r"no module study\.nothing"):
        sources("study.nothing")
    with pytest.raises(UserError, match=r"study\.deep reads \*\.csv"):
        sources("study.deep", "*.csv")


def test_the_config_needs_no_numerics() -> None:
    names = {Path(path).name for path in sources("crossdiff.config") if "/parts/" not in path}
    read = {"cli.py", "config.py", "errors.py", "fields.py", "overlay.py", "parsing.py", "recipe.py", "settings.py"}
    assert names == {"__init__.py", *read}


@pytest.mark.parametrize(
    ("step", "parts"),
    [
        ("pair.plant", {"pair"}),
        ("corpus", {"corpus"}),
        ("activations", {"activations"}),
        ("dictionaries", set()),
        ("attribution", {"attribution"}),
        ("evidence.calls", {"calibration", "pair"}),
    ],
)
def test_a_step_depends_on_its_own_settings_alone(step: str, parts: set[str]) -> None:
    files = sources(f"crossdiff.{step}")
    assert {Path(path).stem for path in files if "/parts/" in path} == parts | ({"__init__"} if parts else set())
    assert not [path for path in files if path.endswith("crossdiff/config.py")]


@pytest.mark.parametrize("step", ["corpus", "activations", "dictionaries", "attribution", "evidence", "report", "pair"])
def test_steps_depend_on_their_own_code_and_on_the_record(step: str) -> None:
    files = [str(Path(path).resolve().relative_to(found_in.SRC)) for path in sources(f"crossdiff.{step}")]
    assert f"crossdiff/{step}/__main__.py" in files
    assert "crossdiff/provenance/record.py" in files


def test_training_does_not_depend_on_later_steps() -> None:
    assert not [path for path in sources("crossdiff.dictionaries") if "/report/" in path or "/evidence/" in path]
