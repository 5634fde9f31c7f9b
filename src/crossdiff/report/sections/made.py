"""How the study was made: the graph of its stages, machine, steps, versions, config."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crossdiff import hardware
from crossdiff.provenance import record
from crossdiff.provenance.origins import METRICS, record_of
from crossdiff.report.collect import Study
from crossdiff.report.flow import HIGH, REPORT, WIDE, Flow, flow
from crossdiff.report.metrics import step_name
from crossdiff.report.section import Context, Section
from crossdiff.report.words import commit

OWN = record_of(METRICS)
"""Record of the step that writes this page, which is not there yet."""


@dataclass(frozen=True)
class Step:
    """One row of the table of steps."""

    name: str
    file: str
    record: dict[str, Any]

    @property
    def key(self) -> str:
        """Its name under costs in metrics.json."""
        return step_name(self.file)

    @property
    def code(self) -> str:
        """Short commit, marked if the source was changed since."""
        return commit(self.record["code"])


def section(context: Context) -> Section:
    """The drawing, and tables that fold."""
    study = context.study
    every = list(steps(study))
    return Section(
        id="made",
        title="How it was made",
        question="How was it made?",
        html=context.render(
            "made.html.j2",
            steps=every,
            largest=max(every, key=lambda step: step.record["peak_bytes"]),
            flow=drawn(study),
            box=(WIDE, HIGH),
            last=REPORT,
            own={"file": OWN, "code": record.code(), "machine": hardware.machine()},
            machines=machines(study),
            tracked=tracked(study),
            versions=versions(study),
            config=json.dumps(study.config.model_dump(mode="json"), indent=1),
        ),
    )


def steps(study: Study) -> Iterator[Step]:
    """Every recorded step in the study's order."""
    for file, told in study.records.items():
        yield Step(told["name"], file, told)


def drawn(study: Study) -> Flow:
    """The graph of the study's stages."""
    files = [file.relative_to(study.root).as_posix() for file in study.files]
    return flow(study.config.pair.name, study.records, files)


def machines(study: Study) -> list[tuple[dict[str, Any], int]]:
    """(machine, steps that ran on it) of every machine, the busiest first."""
    found = [told["machine"] for told in study.records.values()]
    different = [machine for at, machine in enumerate(found) if machine not in found[:at]]
    return sorted(((machine, found.count(machine)) for machine in different), key=lambda item: -item[1])


def tracked(study: Study) -> list[tuple[str, str]]:
    """(where MLflow keeps the runs, the study's run) of every study run that a step belongs to."""
    runs = [told["mlflow"] for told in study.records.values() if told["mlflow"]]
    # A server's address may hold a password before the @; the page may be passed on.
    return sorted({(run["uri"].rpartition("@")[2], run["parent_run_id"] or run["run_id"]) for run in runs})


def versions(study: Study) -> dict[str, list[str]]:
    """Versions of each package over all steps; more than one if steps disagree."""
    found: dict[str, list[str]] = {}
    for told in study.records.values():
        for package, version in told["versions"].items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    return found
