"""How the study was made: steps, versions, config."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crossdiff.report.collect import Study
from crossdiff.report.section import Context, Section


@dataclass(frozen=True)
class Step:
    """One row of the table of steps."""

    name: str
    file: str
    record: dict[str, Any]

    @property
    def code(self) -> str:
        """Short commit, marked if the source was changed since."""
        code = self.record["code"]
        return (code["commit"][:10] + (" + changes" if code["dirty"] else "")) if code["commit"] else "unknown"


def section(context: Context) -> Section:
    """Tables that fold."""
    study = context.study
    return Section(
        id="made",
        title="How it was made",
        question="How was it made?",
        html=context.render(
            "made.html.j2",
            steps=list(steps(study)),
            stages=stages(study),
            tracked=tracked(study),
            versions=versions(study),
            config=json.dumps(study.config.model_dump(mode="json"), indent=1),
        ),
    )


def steps(study: Study) -> Iterator[Step]:
    """Every recorded step in the study's order."""
    for file, record in study.records.items():
        yield Step(record["name"], file, record)


def stages(study: Study) -> dict[str, dict[str, float]]:
    """Jobs and seconds of each stage, in the order in which data flows through them."""
    found: dict[str, dict[str, float]] = {}
    for file, record in study.records.items():
        stage = found.setdefault(file.split("/")[0], {"jobs": 0, "seconds": 0.0})
        stage["jobs"] += 1
        stage["seconds"] += record["seconds"]
    return found


def tracked(study: Study) -> list[tuple[str, str]]:
    """(where MLflow keeps the runs, the study's run) of every study run that a step belongs to."""
    runs = [record["mlflow"] for record in study.records.values() if record["mlflow"]]
    # A server's address may hold a password before the @; the page may be passed on.
    return sorted({(run["uri"].rpartition("@")[2], run["parent_run_id"] or run["run_id"]) for run in runs})


def versions(study: Study) -> dict[str, list[str]]:
    """Versions of each package over all steps; more than one if steps disagree."""
    found: dict[str, list[str]] = {}
    for record in study.records.values():
        for package, version in record["versions"].items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    return found
