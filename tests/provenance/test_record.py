"""run.json: whole or not at all, and true."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from crossdiff import hardware
from crossdiff.errors import UserError
from crossdiff.evidence.settings import Evidence
from crossdiff.provenance.files import check_name, sha256_file, whole
from crossdiff.provenance.record import code, read, record


@dataclass(frozen=True)
class Size:
    k: int
    folder: Path


@pytest.fixture(autouse=True)
def untracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def run_json(path: Path = Path("out/run.json")) -> dict:
    return json.loads(path.read_text())


def test_holds_what_went_in_and_came_out(tmp_path: Path) -> None:
    Path("in").mkdir()
    Path("in/a.txt").write_text("a")
    Path("in/.hidden").write_text("no input")
    Path("b.txt").write_text("b")
    with record("x/y", Path("out/run.json"), {"k": 3}, ["in", tmp_path / "b.txt"]) as run:
        run.log({"loss": 1.0}, step=0)
        run.result(fve=0.5, counts={"chat": 2})
    document = run_json()
    assert document["name"] == "x/y"
    assert document["params"] == {"k": 3}
    assert document["results"] == {"fve": 0.5, "counts": {"chat": 2}}
    assert document["inputs"] == {"in/a.txt": sha256_file("in/a.txt"), "b.txt": sha256_file("b.txt")}
    assert document["versions"]["torch"] == torch.__version__
    assert document["threads"] == torch.get_num_threads()
    assert document["seconds"] >= 0
    assert document["machine"] == hardware.machine()
    assert 0 < document["peak_bytes"] <= hardware.peak_bytes()
    assert document["mlflow"] is None


def test_takes_the_types_of_settings_and_of_numerics() -> None:
    params = {"evidence": Evidence(), "size": Size(4, Path("a/b")), "names": {"b", "a"}}
    with record("x", "run.json", params, []) as run:
        run.result(numpy=np.float32(0.5), torch=torch.tensor([1, 2]), nothing=None)
    document = run_json(Path("run.json"))
    assert document["params"]["evidence"]["conversations"] == Evidence().conversations
    assert document["params"]["size"] == {"k": 4, "folder": "a/b"}
    assert document["params"]["names"] == ["a", "b"]
    assert document["results"] == {"numpy": 0.5, "torch": [1, 2], "nothing": None}


def test_refuses_what_json_cannot_hold_before_the_step_runs() -> None:
    with pytest.raises(TypeError, match="cannot hold a object"), record("x", "run.json", {"a": object()}, []):
        pytest.fail("the step ran")


@pytest.mark.parametrize("why", ["out is a file", "no permission"])
def test_a_folder_that_cannot_be_written_to_is_named_before_the_step_runs(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "no permission":
        monkeypatch.setattr("os.access", lambda *_: False)  # the superuser may write anywhere
    else:
        Path("out").write_text("a file")
    said = rf"^out/\w+: results cannot be written there \({why}\)"
    with pytest.raises(UserError, match=said), record("x", Path("out/x/run.json"), {}, []):
        pytest.fail("the step ran")
    with pytest.raises(UserError, match=said), whole(Path("out/x/table.parquet")):
        pytest.fail("the block ran")


def test_reads_what_it_wrote_and_refuses_what_is_no_record() -> None:
    with record("x", "run.json", {}, []) as run:
        run.result(a=1)
    assert read(Path("run.json"))["results"] == {"a": 1}
    for text, said in (
        ("{", "is not valid JSON"),
        ("[]", "must hold a JSON object, not a list"),
        ("{}", "lacks name, started, seconds, params, results, code, inputs; give a run.json; if it is one, delete it"),
        (json.dumps(run_json(Path("run.json")) | {"inputs": {"a": 3}}), "lacks inputs; give a run.json"),
    ):
        Path("other.json").write_text(text)
        with pytest.raises(UserError, match=rf"^other\.json .*{said}"):
            read(Path("other.json"))
    with pytest.raises(UserError, match=r"none\.json is missing; it is there after make study, or dvc pull"):
        read(Path("none.json"))


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(2)])
def test_a_failed_step_leaves_no_record_not_even_an_old_one(error: BaseException) -> None:
    with record("x", "run.json", {}, []):
        pass
    assert Path("run.json").exists()
    with pytest.raises(type(error)), record("x", "run.json", {}, []):
        fail(error)
    assert not list(Path().iterdir())


def test_names_a_missing_input() -> None:
    with pytest.raises(UserError, match=r"no such input file: gone\.bin"), record("x", "run.json", {}, ["gone.bin"]):
        pytest.fail("the step ran")


def test_inputs_are_hashed_before_the_step_changes_them() -> None:
    Path("a").write_text("before")
    before = sha256_file("a")
    with record("x", "run.json", {}, ["a"]):
        Path("a").write_text("after")
    assert run_json(Path("run.json"))["inputs"] == {"a": before}


def test_names_the_commit_of_this_checkout() -> None:
    root = Path(__file__).parents[2]
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        pytest.skip("the tests run outside a git checkout")
    assert code()["commit"] == head.stdout.strip()
    assert code()["dirty"] in (True, False)


def test_keeps_the_changes_on_top_of_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src/crossdiff"
    package.mkdir(parents=True)
    (package / "old.py").write_text("was = 1\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=n@n"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    monkeypatch.setattr("crossdiff.provenance.record.PACKAGE", package)
    assert code.__wrapped__()["dirty"] is False
    (package / "old.py").write_text("is_ = 2\n")
    (package / "new.py").write_text("added = 3\n")
    (tmp_path / "README.md").write_text("no code")
    found = code.__wrapped__()
    assert found["dirty"] is True
    assert {"-was = 1", "+is_ = 2", "+added = 3"} <= set(found["changes"].splitlines())
    assert "src/crossdiff/new.py" in found["changes"]
    assert "no code" not in found["changes"]


def test_whole_leaves_the_old_file_when_the_new_one_fails() -> None:
    def half() -> None:
        with whole("a") as temporary:
            temporary.write_text("half")
            raise ValueError("stop")

    Path("a").write_text("old")
    with pytest.raises(ValueError, match="stop"):
        half()
    assert Path("a").read_text() == "old"
    assert [path.name for path in Path().iterdir()] == ["a"]


def write_half(path: Path, error: Exception) -> None:
    with whole(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("No space left on device (28)")])
def test_a_full_disk_is_told_and_leaves_nothing(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"table\.parquet cannot be written: the disk is full; free some space"):
        write_half(tmp_path / "table.parquet", error)
    assert not list(tmp_path.iterdir())


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"), whole(tmp_path / "x"):
        raise OSError(5, "Input/output error")


def test_a_mistyped_input_leaves_the_old_record(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    out = tmp_path / "run.json"
    with record("x", out, {}, [tmp_path / "a"]):
        pass
    before = out.read_bytes()
    with pytest.raises(UserError, match="no such input file"), record("x", out, {}, [tmp_path / "b"]):
        pass
    assert out.read_bytes() == before


def test_a_file_cannot_have_a_folders_name(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()
    with (
        pytest.raises(UserError, match=r"a\.parquet: this is a folder; give the name of a file"),
        whole(tmp_path / "a.parquet"),
    ):
        pass
    with pytest.raises(UserError, match=r"table: the name must end in \.parquet"):
        check_name(tmp_path / "table", ".parquet")
    check_name(tmp_path / "new.parquet", ".parquet")
