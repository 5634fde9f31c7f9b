"""What a step tells MLflow, left in a file for the study's relay to pass on, so that no step waits for MLflow.

A step appends JSON lines to `.snakemake/mlflow/<number>.jsonl`: {"start": …}, {"metrics": …}, {"end": …}. The relay
(`crossdiff.provenance.relay`) reads them as they come, and leaves the id of the run it made in `<number>.id`.
Importing MLflow costs three seconds of CPU; a study has dozens of steps.
"""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossdiff.provenance.files import whole

SPOOL = Path(".snakemake/mlflow")
STOP = "stop.json"
WAIT_SECONDS = 30.0
"""How long a step that ends waits for its run's id: on a busy machine a new database takes the relay ten seconds."""


class Spooled:
    """A run that the relay keeps; the same methods as `tracker.Tracker`."""

    def __init__(self, folder: Path, uri: str, parent: str, start: Mapping[str, Any], relay: int | None = None) -> None:
        """``relay`` is the relay's process, if it is known."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{uuid.uuid4().hex}.jsonl"
        self._uri, self._parent, self._relay = uri, parent, relay
        self._write({"start": {**start, "time": _now()}})

    def log(self, values: Mapping[str, float], step: int) -> None:
        """A point of each curve."""
        self._write({"metrics": [[key, float(value), _now(), step] for key, value in values.items()]})

    def results(self, numbers: Mapping[str, float]) -> None:
        """Final numbers."""
        self.log(numbers, step=0)

    def address(self) -> dict[str, str | None]:
        """Where the run is found again; without its id if the relay is gone."""
        given, until = self._path.with_suffix(".id"), time.monotonic() + WAIT_SECONDS
        while not given.exists() and time.monotonic() < until and (self._relay is None or alive(self._relay)):
            time.sleep(0.05)
        address: dict[str, str | None] = {"uri": self._uri, "run_id": None, "parent_run_id": self._parent}
        run_id = given.read_text() if given.exists() else ""
        return address | ({"run_id": run_id} if run_id else {"fault": "the relay to MLflow did not answer"})

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self._write({"end": {"status": status, "time": _now()}})

    def _write(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


@dataclass
class Reader:
    """One step's file as the relay reads it, from where it last stopped."""

    path: Path
    _read: int = field(default=0)

    def lines(self) -> Iterator[dict[str, Any]]:
        """New whole lines; one that is still being written waits."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield json.loads(line)

    def give(self, run_id: str) -> None:
        """Tell the step its run's id."""
        with whole(self.path.with_suffix(".id")) as temporary:
            temporary.write_text(run_id)

    def drop(self) -> None:
        """Remove what was passed on."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".id").unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now() -> int:
    return int(time.time() * 1000)
