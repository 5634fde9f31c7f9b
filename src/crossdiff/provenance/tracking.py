"""MLflow as a view of the study: one parent run a `snakemake` call, one nested run (`tracker`) a step.

    python -m crossdiff.provenance.tracking open --study NAME --config JSON --watch PID   called when Snakemake starts
    python -m crossdiff.provenance.tracking close --status FINISHED                       called when it ends

Runs go to `mlflow.db` in the study's folder, or to the server named by MLFLOW_TRACKING_URI. The steps of a study speak
to it through a relay (`crossdiff.provenance.relay`); a step run by hand is tracked only if that variable is set.
Nothing is ever read back from MLflow into a result.
"""

import contextlib
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from crossdiff.cli import stage
from crossdiff.errors import UserError, first_line
from crossdiff.provenance.files import whole
from crossdiff.provenance.spool import SPOOL, STOP, Spooled
from crossdiff.provenance.tracker import Tracker, public

PARENT = Path(".snakemake/mlflow-parent.json")
CLOSE_SECONDS = 60.0
"""How long the end of a study waits for the relay to pass on what is left."""


def start(name: str, params: Mapping[str, Any], code: Mapping[str, Any]) -> Tracker | Spooled | None:
    """A run for one step, nested in the study's if there is one; None if nobody tracks.

    UserError if MLflow is out of reach (for a step run by hand; a study finds out when it opens).
    """
    tags = code_tags(code)
    if PARENT.exists():
        parent = json.loads(PARENT.read_text())
        tags |= {"mlflow.parentRunId": parent["run_id"], "crossdiff.config_sha256": parent["config_sha256"]}
        told = {"name": name, "params": params, "tags": tags}
        return Spooled(SPOOL, public(parent["uri"]), parent["run_id"], told, parent.get("relay"))
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    uri = default_uri()
    with reached(uri):
        client = connect(uri)
        run = client.create_run(experiment_id(client, "crossdiff"), run_name=name, tags=tags)
    tracker = Tracker(client, uri, run.info.run_id, None)
    tracker.params(params)
    return tracker


def open_study(study: str, config: str, code: Mapping[str, Any], watch: int) -> str:
    """Open the parent run of a study, leave its address for the steps, and start the relay; gives the run's id.

    ``config`` is the validated config as JSON; the relay ends with the process ``watch``.
    """
    uri = default_uri()
    digest = hashlib.sha256(config.encode()).hexdigest()
    with reached(uri):
        client = connect(uri)
        if PARENT.exists():  # left by a Snakemake and a relay that were killed
            end(client, json.loads(PARENT.read_text()), "KILLED")
        for left in SPOOL.glob("*"):
            left.unlink()
        experiment = experiment_id(client, study)
        run = client.create_run(experiment, run_name=study, tags=code_tags(code) | {"crossdiff.config_sha256": digest})
        Tracker(client, uri, run.info.run_id, None).params(json.loads(config))
    parent = {"uri": uri, "experiment_id": experiment, "run_id": run.info.run_id, "config_sha256": digest}
    _leave(parent)
    relay = [sys.executable, "-m", "crossdiff.provenance.relay", "--watch", str(watch)]
    with PARENT.with_suffix(".log").open("w") as log:
        started = subprocess.Popen(relay, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    _leave(parent | {"relay": started.pid})
    return str(run.info.run_id)


def _leave(parent: Mapping[str, Any]) -> None:
    with whole(PARENT) as temporary:
        temporary.write_text(json.dumps(parent))


def close_study(status: str) -> None:
    """Let the relay pass on what is left and close the parent run, if one is open."""
    if not PARENT.exists():
        return
    with whole(SPOOL / STOP) as temporary:
        temporary.write_text(json.dumps({"status": status}))
    until = time.monotonic() + CLOSE_SECONDS
    while PARENT.exists() and time.monotonic() < until:
        time.sleep(0.1)
    if PARENT.exists():
        log = PARENT.with_suffix(".log")
        print(f"warning: MLflow does not show the end of this study; its relay failed, see {log}", file=sys.stderr)


def end(client: Any, parent: Mapping[str, str], status: str) -> None:
    """Close the parent run and take its address away."""
    Tracker(client, parent["uri"], parent["run_id"], None).close(status)
    PARENT.unlink()


def connect(uri: str) -> Any:
    """A client of the tracking store, its usage reports and chatter switched off."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def experiment_id(client: Any, name: str) -> str:
    """The experiment called ``name``; made, or taken back from the bin, if need be."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return str(client.create_experiment(name))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def default_uri() -> str:
    """MLFLOW_TRACKING_URI, else a database in the study's folder (absolute, so that a copied tree keeps its own)."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def code_tags(code: Mapping[str, Any]) -> dict[str, str]:
    """Tags that say which code ran; MLflow's own name for the commit too, which its pages show."""
    tags = {"crossdiff.commit": str(code["commit"]), "crossdiff.dirty": str(code["dirty"]).lower()}
    return tags | ({"mlflow.source.git.commit": code["commit"]} if code["commit"] else {})


@contextlib.contextmanager
def reached(uri: str) -> Iterator[None]:
    """Turn whatever MLflow raises into one message that names the store."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        fault = first_line(error).replace(uri, public(uri))
        raise UserError(
            f"MLflow store {public(uri)} cannot be used: {fault}."
            " Mend or unset MLFLOW_TRACKING_URI; a damaged mlflow.db may be deleted, no result is read from it"
        ) from error


def main(
    action: Annotated[Literal["open", "close"], typer.Argument(help="Open or close the study's run.")],
    study: Annotated[str, typer.Option(help="Name of the study (open).")] = "crossdiff",
    config: Annotated[str, typer.Option(help="The validated config as JSON (open).")] = "{}",
    watch: Annotated[int, typer.Option(help="Process whose end ends the study, however it ends (open).")] = 0,
    status: Annotated[Literal["FINISHED", "FAILED"], typer.Option(help="How it ended (close).")] = "FINISHED",
) -> None:
    """Open or close the MLflow run of a study; Snakemake's hooks call this."""
    from crossdiff.provenance.record import code

    if action == "open":
        open_study(study, config, code(), watch or os.getppid())
    else:
        close_study(status)


if __name__ == "__main__":
    stage(main)
