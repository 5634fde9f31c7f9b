"""run.json = MLflow: the numbers in the tracking store are those of the records, which it is only a view of."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import leaves
from crossdiff.provenance.tracker import flat, public
from crossdiff.provenance.tracking import connect

OWN = "sqlite:///mlflow.db"


def check(study: Study) -> Finding:
    """Each record's run: its final numbers and its commit."""
    found = Finding()
    for uri, names in stores(study).items():
        where = address(study, uri)
        if where is None:
            known = f"MLflow runs of {len(names)} steps: "
            found.unchecked.append(
                known + (f"{uri} is not here" if uri == OWN else f"MLFLOW_TRACKING_URI is not {uri}")
            )
            continue
        client = connect(where)
        for name in names:
            one_run(study, name, client, found)
    untracked = [name for name, record in study.records.items() if not run_id(record)]
    if untracked:
        found.unchecked.append(f"MLflow runs of {len(untracked)} steps: their records name none")
    return found


def stores(study: Study) -> dict[str, list[str]]:
    """Records by the tracking store they name."""
    found: dict[str, list[str]] = {}
    for name, record in study.records.items():
        if run_id(record):
            found.setdefault(record["mlflow"]["uri"], []).append(name)
    return found


def run_id(record: Mapping[str, Any]) -> str | None:
    """The run's id; None if nobody tracked."""
    return (record.get("mlflow") or {}).get("run_id")


def address(study: Study, uri: str) -> str | None:
    """How to reach a store named in a record: the study's own database, or the server that the environment names."""
    if uri == OWN:
        path = study.base / "mlflow.db"
        return f"sqlite:///{path}" if path.is_file() else None
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given and public(given) == uri:
        return given
    path = Path(uri.removeprefix("sqlite:///"))
    return uri if uri.startswith("sqlite:///") and path.is_file() else None


def one_run(study: Study, name: str, client: Any, found: Finding) -> None:
    """Compare one step's numbers; a break taints the numbers of the report that are made of the same entry."""
    record = study.records[name]
    try:
        run = client.get_run(run_id(record))
    except Exception as error:
        found.unchecked.append(f"MLflow run of {study.name(name)}: {str(error).splitlines()[0]}")
        return
    tag = run.data.tags.get("crossdiff.commit")
    commit = str(record.get("code", {}).get("commit"))
    found.equal(tag in (None, commit), f"MLflow names commit {tag} for {study.name(name)}, which names {commit}")
    for key, value in flat(record.get("results", {})):
        if isinstance(value, int | float):
            shown = final(client, run, key, float(value))
            if shown == float(value) or (shown != shown and value != value):  # NaN: an interval of one conversation
                found.held += 1
            else:
                what = f"MLflow shows {shown} for {key} of {study.name(name)}, which holds {value}"
                found.breaks.append(Break(what, numbers=made_of(study, name, f"results.{key}")))


def final(client: Any, run: Any, key: str, expected: float) -> float | None:
    """The final number of a run: its latest value, or the one at step 0 where a training curve has the same name."""
    latest = run.data.metrics.get(key)
    if latest in (None, expected):
        return latest
    points = [point for point in client.get_metric_history(run.info.run_id, key) if point.step == 0]
    return max(points, key=lambda point: point.timestamp).value if points else latest


def made_of(study: Study, file: str, key: str) -> frozenset[str]:
    """Numbers of the report that are made of an entry of a record."""
    keys = (at for at, _ in leaves(study.metrics or {}))
    return frozenset(at for at in keys if any(s.file == file and s.key == key for s in study.origins.of(at)))
