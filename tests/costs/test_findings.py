"""What a study asks of the machine is held against what the machine has."""

import pytest

from crossdiff.config import Config
from crossdiff.costs import findings as costs
from crossdiff.costs.sizes import Machine
from crossdiff.overlay import merged
from crossdiff.parsing import parse
from crossdiff.survey import survey

MACHINE = Machine(4e11, 1e11, 3e10, 2)


def test_machine_findings(tiny_study: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = parse(Config, tiny_study)
    shape = survey(chosen).shape
    good = {finding.what: finding.verdict for finding in costs.findings(chosen, shape, MACHINE, 0)}
    assert good == {"device": "ok", "memory": "ok", "disk": "ok", "time": "ok"}
    monkeypatch.setattr(costs, "memory", lambda device: 1e6)
    full = {finding.what: finding for finding in costs.findings(chosen, shape, MACHINE, 1e18)}
    assert full["memory"].verdict == full["disk"].verdict == "failed"
    assert "activations.store: stream" in full["disk"].text
    assert "1e+03 PB" in full["disk"].text or "TB of it weights from the hub" in full["disk"].text
    monkeypatch.setattr(costs, "memory", lambda device: pytest.fail("asks for the memory of a device that is not here"))
    away = parse(Config, merged(tiny_study, {"compute": {"device": "cuda"}}))
    absent = {finding.what: finding.verdict for finding in costs.findings(away, shape, None, 0)}
    assert absent == {"device": "failed", "memory": "open", "disk": "ok", "time": "open"}


def test_threads_beyond_the_cores_are_told(tiny_study: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "cores", lambda: 2)
    chosen = parse(Config, merged(tiny_study, {"compute": {"threads": {"models": 64, "dictionaries": 2}}}))
    told = costs.check_device(chosen, MACHINE)
    assert told == "cpu; compute.threads.models: 64 threads would take turns on 2 cores; lower it to 2"
    assert costs.crowded(parse(Config, tiny_study)) == []
