"""Wall time and peak memory of a finished study, by stage, from Snakemake's benchmark files.

python -m benchmarks.study logs/smollm2-planted
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness
from benchmarks.harness import Row

ORDER = (
    "fetch", "download", "convert", "plant", "pair", "truth", "corpus", "activations", "dictionaries", "attribution",
    "calls", "evidence", "examples", "report",
)  # fmt: skip
"""Stages in the order they run in; others come last."""
NULL = "null"
"""Folder of the null tune's logs. All that is done for it counts as one stage, but its tuning, which is planting."""


@dataclass(frozen=True)
class Job:
    """One job of a study."""

    stage: str
    name: str
    seconds: float
    cpu_seconds: float | None
    peak_bytes: float | None
    """Resident memory at its largest, files that are mapped included."""


def read(logs: Path) -> list[Job]:
    """All jobs of the study with these ``logs``, stage by stage; SystemExit if there are none."""
    files = sorted(file for folder in (logs, logs / NULL) for file in (folder / "benchmarks").rglob("*.tsv"))
    if not files:
        raise SystemExit(f"error: there is no benchmarks/**/*.tsv in {logs}; give logs/<pair> of a finished study")
    jobs = []
    for file in files:
        with file.open() as lines:
            (facts, *_) = csv.DictReader(lines, delimiter="\t")
        null = file.is_relative_to(logs / NULL)
        path = file.relative_to((logs / NULL if null else logs) / "benchmarks").with_suffix("")
        stage = path.parts[0].removesuffix("-base").removesuffix("-chat")
        stage = NULL if null and stage != "plant" else stage
        peak = number(facts.get("max_rss"))
        jobs.append(Job(stage, path.name, float(facts["s"]), number(facts.get("cpu_time")), peak and peak * 2**20))
    return sorted(jobs, key=lambda job: (ORDER.index(job.stage) if job.stage in ORDER else len(ORDER), job.name))


def number(text: str | None) -> float | None:
    """A measurement; None where Snakemake had none (a job shorter than its sampling)."""
    return None if text in (None, "", "-", "NA") else float(text)


def by_stage(jobs: list[Job]) -> dict[str, list[Job]]:
    """Jobs of each stage."""
    stages: dict[str, list[Job]] = {}
    for job in jobs:
        stages.setdefault(job.stage, []).append(job)
    return stages


def rows(case: str, jobs: list[Job]) -> list[Row]:
    """Jobs, wall seconds (summed over a stage's jobs, with the shortest and the longest) and peak memory."""
    out = []
    for stage, part in [*by_stage(jobs).items(), ("all stages", jobs)]:
        seconds = [job.seconds for job in part]
        peaks = [job.peak_bytes for job in part if job.peak_bytes is not None]
        out.append(Row(case, stage, "jobs", len(part)))
        out.append(Row(case, stage, "wall, summed", sum(seconds), "s", low=min(seconds), high=max(seconds)))
        if peaks:
            out.append(Row(case, stage, "peak memory", max(peaks) / 1e9, "GB"))
    return out


def main(arguments: list[str] | None = None) -> list[Row]:
    """Tabulate a study."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("logs", type=Path, help="logs/<pair>")
    made.add_argument("--json", type=Path, metavar="FILE", help="write rows and machine there as well")
    chosen = made.parse_args(arguments)
    found = rows(chosen.logs.resolve().name, read(chosen.logs))
    harness.report("study", chosen, found)
    return found


if __name__ == "__main__":
    main()
