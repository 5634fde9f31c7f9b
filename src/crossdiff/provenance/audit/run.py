"""Run the checks in order, and tell what holds, what is broken and which numbers that taints."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crossdiff.provenance.audit import (
    code,
    configured,
    crated,
    explored,
    manifests,
    page,
    ran,
    recomputed,
    records,
    tracked,
    versioned,
)
from crossdiff.provenance.audit.finding import Finding
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.audit.taint import short, tainted

CHECKS: dict[str, Callable[[Study], Finding]] = {
    "weights = manifest": manifests.check,
    "files = run.json": records.check,
    "metrics.json = tables": recomputed.check,
    "report = metrics.json": page.check,
    "explorer = tables": explored.check,
    "config = run.json": configured.check,
    "code = commit": code.check,
    "files = Snakemake": ran.check,
    "files = DVC": versioned.check,
    "files = RO-Crate": crated.check,
    "run.json = MLflow": tracked.check,
}
"""In the order they run: the more closely a check knows which number is wrong, the earlier."""


@dataclass(frozen=True)
class Told:
    """One check's outcome."""

    name: str
    finding: Finding
    numbers: list[str]
    """Pointers of the numbers that its breaks taint."""


def audit(study: Study, everything: bool = False) -> Iterator[Told]:
    """Outcomes in order; ends after the first check with a break, unless ``everything`` is asked for."""
    for name, check in CHECKS.items():
        finding = check(study)
        yield Told(name, finding, tainted(study, finding.breaks))
        if finding.breaks and not everything:
            return


def lines(study: Study, told: Told) -> Iterator[str]:
    """One outcome in words."""
    finding = told.finding
    if finding.breaks:
        yield f"BROKEN   {told.name}"
        yield from (f"           {item.what}" for item in finding.breaks)
        yield from taints(study, told)
    elif finding.held:
        yield f"holds    {told.name:<22} {finding.held:,} comparisons"
    yield from (f"unknown  {told.name:<22} {item}" for item in dict.fromkeys(finding.unchecked))


def taints(study: Study, told: Told) -> Iterator[str]:
    """The tainted numbers in words; a subtree of which every number is tainted is one line."""
    if study.metrics is None:
        yield f"         no number of {study.name('metrics.json')} can be read"
        return
    if not told.numbers:
        yield "         taints no number of metrics.json"
        return
    yield f"         taints {len(told.numbers):,} numbers of {study.name('metrics.json')}:"
    yield from (f"           #{key}" for key in short(told.numbers, study.metrics or {}))
