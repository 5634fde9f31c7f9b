"""Pass on to MLflow what the steps of a study leave in the spool. One such process a `snakemake` call.

    python -m crossdiff.provenance.relay --watch PID      started by `tracking open`

Ends when `tracking close` asks for it, or when the process it watches is gone; then runs that are still open count
as killed.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdiff.cli import stage
from crossdiff.errors import first_line
from crossdiff.provenance import tracking
from crossdiff.provenance.spool import SPOOL, STOP, Reader, alive
from crossdiff.provenance.tracker import Tracker

PAUSE_SECONDS = 0.3


class Relay:
    """The runs of one study, as far as they have been passed on."""

    def __init__(self, parent: Mapping[str, str], folder: Path = SPOOL) -> None:
        self._parent, self._folder = parent, folder
        self._client = tracking.connect(parent["uri"])
        self._open: dict[Path, tuple[Reader, Tracker | None]] = {}

    def drain(self) -> None:
        """Pass on what is new."""
        for path in sorted(self._folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime):
            reader, tracker = self._open.setdefault(path, (Reader(path), None))
            for line in reader.lines():
                if "start" in line:
                    tracker = self._start(line["start"])
                    self._open[path] = reader, tracker
                    reader.give(tracker.run_id if tracker else "")
                elif tracker and "metrics" in line:
                    tracker.points(line["metrics"])
                elif "end" in line:
                    if tracker:
                        tracker.close(line["end"]["status"], line["end"]["time"])
                    reader.drop()
                    del self._open[path]
            if tracker and path in self._open:
                tracker.flush()

    def finish(self, status: str) -> None:
        """Pass on the rest and end the study's run."""
        self.drain()
        for reader, tracker in self._open.values():
            if tracker:
                tracker.close("KILLED")
            reader.drop()
        tracking.end(self._client, self._parent, status)

    def current(self) -> bool:
        """Whether the study is still the one this relay was started for."""
        try:
            return bool(json.loads(tracking.PARENT.read_text())["run_id"] == self._parent["run_id"])
        except (OSError, ValueError):
            return False

    def _start(self, start: Mapping[str, Any]) -> Tracker | None:
        try:
            run = self._client.create_run(
                self._parent["experiment_id"], run_name=start["name"], tags=start["tags"], start_time=start["time"]
            )
        except Exception as error:  # whatever a server or a database may raise: the study goes on
            print(f"warning: MLflow does not show {start['name']}: {first_line(error)}", flush=True)
            return None
        tracker = Tracker(self._client, self._parent["uri"], run.info.run_id, self._parent["run_id"])
        tracker.params(start["params"])
        return tracker


def main(watch: Annotated[int, typer.Option(help="Process whose end ends the relay.")]) -> None:
    """Relay until the study ends."""
    relay = Relay(json.loads(tracking.PARENT.read_text()))
    stop = SPOOL / STOP
    while not stop.exists():
        if not alive(watch):
            relay.finish("KILLED")
            return
        if not relay.current():
            return
        relay.drain()
        time.sleep(PAUSE_SECONDS)
    relay.finish(json.loads(stop.read_text())["status"])
    stop.unlink()


if __name__ == "__main__":
    stage(main)
