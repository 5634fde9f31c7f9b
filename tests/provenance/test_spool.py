"""Lines reach the relay whole, once, and in order."""

import json
import subprocess
import sys
import time

from crossdiff.provenance.spool import Reader, Spooled


def test_a_reader_gives_each_whole_line_once(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"start": 1}\n{"metr')
    reader = Reader(path)
    assert list(reader.lines()) == [{"start": 1}]
    assert list(reader.lines()) == []
    with path.open("a") as file:
        file.write('ics": []}\n{"end": 2}\n')
    assert list(reader.lines()) == [{"metrics": []}, {"end": 2}]
    assert list(reader.lines()) == []


def test_a_step_is_spooled_in_order(tmp_path):
    step = Spooled(tmp_path, "sqlite:///mlflow.db", "parent", {"name": "x", "params": {"k": 3}, "tags": {}})
    step.log({"loss": 0.5, "fve": 0.25}, 7)
    step.results({"l0": 31.0})
    step.close("FINISHED")
    (path,) = tmp_path.glob("*.jsonl")
    start, point, result, end = map(json.loads, path.read_text().splitlines())
    assert (start["start"]["name"], start["start"]["params"]) == ("x", {"k": 3})
    assert [(name, value, step) for name, value, _, step in point["metrics"]] == [("loss", 0.5, 7), ("fve", 0.25, 7)]
    assert [(name, value, step) for name, value, _, step in result["metrics"]] == [("l0", 31.0, 0)]
    assert end["end"]["status"] == "FINISHED"


def test_the_run_id_reaches_the_step(tmp_path):
    step = Spooled(tmp_path, "sqlite:///mlflow.db", "parent", {"name": "x", "params": {}, "tags": {}})
    (path,) = tmp_path.glob("*.jsonl")
    Reader(path).give("abc")
    assert step.address() == {"uri": "sqlite:///mlflow.db", "run_id": "abc", "parent_run_id": "parent"}
    Reader(path).drop()
    assert list(tmp_path.iterdir()) == []


def test_a_step_does_not_wait_for_a_relay_that_is_gone(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    step = Spooled(tmp_path, "sqlite:///mlflow.db", "parent", {"name": "x", "params": {}, "tags": {}}, gone.pid)
    started = time.monotonic()
    assert step.address()["fault"] == "the relay to MLflow did not answer"
    assert time.monotonic() - started < 5
