"""One MLflow run: its parameters, the points of its curves and its numbers, sent in batches."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from crossdiff.errors import first_line

T = TypeVar("T")
BATCH_METRICS, BATCH_PARAMS = 1000, 100  # what one call of MLflow's log_batch takes
LONGEST_VALUE = 6000
FLUSH_SECONDS = 5.0


class Tracker:
    """One MLflow run. If the server fails while the step is running, tracking ends with a warning, the step goes on."""

    def __init__(self, client: Any, uri: str, run_id: str, parent: str | None) -> None:
        self._client, self._uri, self._parent = client, uri, parent
        self._points: list[Any] = []
        self._flushed = time.monotonic()
        self._fault: str | None = None
        self.run_id = run_id

    def address(self) -> dict[str, str | None]:
        """Where the run is found again: tracking URI without credentials, its id and its parent's."""
        address = {"uri": public(self._uri), "run_id": self.run_id, "parent_run_id": self._parent}
        return address | ({"fault": self._fault} if self._fault else {})

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; nested ones under dotted names."""
        from mlflow.entities import Param

        entities = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in flat(params)]
        for batch in chunks(entities, BATCH_PARAMS):
            self._call(lambda batch=batch: self._client.log_batch(self.run_id, params=batch))

    def log(self, values: Mapping[str, float], step: int) -> None:
        """A point of each curve; sent when enough of them are waiting or a few seconds have passed."""
        self.points([(key, float(value), int(time.time() * 1000), step) for key, value in values.items()])

    def points(self, points: Sequence[Sequence[Any]]) -> None:
        """Points as (name, value, time in ms, step)."""
        from mlflow.entities import Metric

        self._points += [Metric(*point) for point in points]
        if len(self._points) >= BATCH_METRICS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def results(self, numbers: Mapping[str, float]) -> None:
        """Final numbers, as metrics."""
        self.log(numbers, step=0)
        self.flush()

    def flush(self) -> None:
        """Send the waiting points."""
        for batch in chunks(self._points, BATCH_METRICS):
            self._call(lambda batch=batch: self._client.log_batch(self.run_id, metrics=batch))
        self._points, self._flushed = [], time.monotonic()

    def close(self, status: str, end_time: int | None = None) -> None:
        """End the run as FINISHED, FAILED or KILLED, now or at a time in ms."""
        self.flush()
        self._call(lambda: self._client.set_terminated(self.run_id, status, end_time))

    def _call(self, request: Any) -> None:
        if self._fault is None:
            try:
                request()
            except Exception as error:
                self._fault = first_line(error)
                print(f"warning: MLflow run {self.run_id} stays incomplete: {self._fault}", file=sys.stderr)


def public(uri: str) -> str:
    """A tracking URI fit to be kept: without user and password, the study's own database without its folder."""
    if uri == f"sqlite:///{Path.cwd() / 'mlflow.db'}":
        return "sqlite:///mlflow.db"
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else uri


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every leaf of nested dicts."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in runs of at most ``size``."""
    return (items[i : i + size] for i in range(0, len(items), size))
