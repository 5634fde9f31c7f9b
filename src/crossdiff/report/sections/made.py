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
            versions=versions(study),
            config=json.dumps(study.config.model_dump(mode="json"), indent=1),
        ),
    )


def steps(study: Study) -> Iterator[Step]:
    """Every recorded step in the study's order."""
    for file, record in study.records.items():
        yield Step(record["name"], file, record)


def versions(study: Study) -> dict[str, list[str]]:
    """Versions of each package over all steps; more than one if steps disagree."""
    found: dict[str, list[str]] = {}
    for record in study.records.values():
        for package, version in record["versions"].items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    return found
