"""MLflow shows what the steps did: nested runs, parameters, curves, tags."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from crossdiff.errors import UserError
from crossdiff.provenance import tracking
from crossdiff.provenance.record import record
from crossdiff.workflow import SRC

CODE = {"commit": "c" * 40, "dirty": False}
CONFIG = json.dumps({"pair": {"name": "tiny"}, "seeds": [0, 1]})
FRESH = sys.executable
STEP = """
import sys
from crossdiff.provenance.record import record
with record("step/" + sys.argv[1], sys.argv[1] + ".json", {}, []) as run:
    for step in range(1500):
        run.log({"loss": 1 / (step + 1), "fve": step}, step)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder; its database is made once, for that takes seconds."""
    return tmp_path_factory.mktemp("study")


@pytest.fixture(autouse=True)
def study(folder: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "executable", str(tools / "python"))  # the relay then starts at once
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    tracking.close_study("FINISHED")


def client(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def children(folder: Path, parent: str) -> list:
    experiment = client(folder).get_run(parent).info.experiment_id
    return client(folder).search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")


def test_steps_are_nested_runs_with_params_curves_and_tags(folder: Path) -> None:
    parent = tracking.open_study("tiny", CONFIG, CODE, os.getpid())
    params = {"recipe": {"k": 32, "kind": "diff-sae"}, "many": {str(i): i for i in range(150)}, "long": "x" * 9000}
    with record("dictionaries/a-seed0", "run.json", params, []) as run:
        for step in range(1500):
            run.log({"loss": 2.0 - step / 1000}, step=step)
        run.result(fve=0.75, classes={"chat-only": 3}, note="words stay in run.json")
    tracking.close_study("FINISHED")
    address = json.loads(Path("run.json").read_text())["mlflow"]
    assert address["parent_run_id"] == parent
    assert address["uri"] == "sqlite:///mlflow.db"

    top, child = client(folder).get_run(parent), client(folder).get_run(address["run_id"])
    assert (top.info.status, child.info.status) == ("FINISHED", "FINISHED")
    assert top.data.params == {"pair.name": "tiny", "seeds": "[0, 1]"}
    assert [run.info.run_id for run in children(folder, parent)] == [address["run_id"]]
    assert child.info.run_name == "dictionaries/a-seed0"
    assert child.data.params["recipe.k"] == "32"
    assert child.data.params["many.149"] == "149"
    assert child.data.metrics["fve"] == 0.75
    assert child.data.metrics["classes.chat-only"] == 3
    assert child.data.tags["crossdiff.config_sha256"] == top.data.tags["crossdiff.config_sha256"]
    assert child.data.tags["crossdiff.commit"]
    assert top.data.tags["crossdiff.commit"] == CODE["commit"]
    curve = client(folder).get_metric_history(address["run_id"], "loss")
    assert sorted((point.step, point.value) for point in curve) == [(step, 2.0 - step / 1000) for step in range(1500)]


def test_a_failed_step_is_a_failed_run(folder: Path) -> None:
    def step() -> None:
        with record("bad", "bad.json", {}, []) as run:
            run.log({"loss": 1.0}, 0)
            raise ValueError("no")

    parent = tracking.open_study("tiny", CONFIG, CODE, os.getpid())
    with pytest.raises(ValueError, match="no"):
        step()
    tracking.close_study("FAILED")
    (child,) = children(folder, parent)
    assert child.info.status == "FAILED"
    assert child.data.metrics == {"loss": 1.0}
    assert client(folder).get_run(parent).info.status == "FAILED"


def test_a_parent_left_by_a_killed_study_is_closed(folder: Path) -> None:
    old = tracking.open_study("tiny", CONFIG, CODE, os.getpid())
    new = tracking.open_study("tiny", CONFIG, CODE, os.getpid())
    assert client(folder).get_run(old).info.status == "KILLED"
    assert client(folder).get_run(new).info.status == "RUNNING"


def test_steps_side_by_side_do_not_disturb_each_other(folder: Path) -> None:
    parent = tracking.open_study("tiny", CONFIG, CODE, os.getpid())
    names = ("one", "two")
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    jobs = [subprocess.Popen([sys.executable, "-c", STEP, name], env=environment) for name in names]
    assert [job.wait(timeout=120) for job in jobs] == [0, 0]
    tracking.close_study("FINISHED")
    runs = {run.info.run_name: run.info.run_id for run in children(folder, parent)}
    assert set(runs) == {f"step/{name}" for name in names}
    for run_id in runs.values():
        assert len(client(folder).get_metric_history(run_id, "fve")) == 1500


def test_nothing_is_tracked_without_a_study_or_a_server() -> None:
    assert tracking.start("x", {}, CODE) is None


def test_a_server_alone_is_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    with record("by hand", "hand.json", {}, []):
        pass
    address = json.loads(Path("hand.json").read_text())["mlflow"]
    assert address["parent_run_id"] is None
    assert client(folder).get_run(address["run_id"]).info.status == "FINISHED"


def test_a_store_out_of_reach_stops_the_step_with_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://user:secret@host/x")
    with pytest.raises(UserError, match=r"MLflow store nonsense://host/x cannot be used") as caught:
        tracking.start("x", {}, CODE)
    assert "secret" not in str(caught.value)


def test_a_store_that_fails_midway_does_not_stop_the_step(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    with record("flaky", "flaky.json", {}, []) as run:
        run.log({"loss": 1.0}, 0)

        def refuse(*_args: object, **_kwargs: object) -> None:
            raise ConnectionError("server gone\nand a long tail")

        monkeypatch.setattr(run._tracker._client, "log_batch", refuse)
        run.result(fve=0.5)
    document = json.loads(Path("flaky.json").read_text())
    assert document["results"] == {"fve": 0.5}
    assert "stays incomplete: server gone" in capsys.readouterr().err


def test_a_study_that_is_killed_ends_its_relay_and_its_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", FRESH)  # a relay as users have it
    study = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    parent = tracking.open_study("tiny", CONFIG, CODE, study.pid)
    step = tracking.start("cut short", {}, CODE)
    step.log({"loss": 1.0}, 0)
    run_id = step.address()["run_id"]
    study.kill()
    study.wait()
    deadline = time.monotonic() + 30
    while tracking.PARENT.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert client(folder).get_run(parent).info.status == "KILLED"
    assert client(folder).get_run(run_id).info.status == "KILLED"
    assert client(folder).get_run(run_id).data.metrics == {"loss": 1.0}
    assert not list(tracking.SPOOL.glob("*"))


def test_a_step_goes_on_without_its_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossdiff.provenance.spool.WAIT_SECONDS", 0.1)
    tracking.PARENT.parent.mkdir(exist_ok=True)
    address = {"uri": "sqlite:///x.db", "run_id": "p", "experiment_id": "1", "config_sha256": "c"}
    tracking.PARENT.write_text(json.dumps(address))
    with record("alone", "alone.json", {}, []) as run:
        run.log({"loss": 1.0}, 0)
    told = json.loads(Path("alone.json").read_text())["mlflow"]
    assert told["run_id"] is None
    assert "relay" in told["fault"]
    tracking.PARENT.unlink()
