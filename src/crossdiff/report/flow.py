"""The stages of a study as a graph, told by what each step recorded that it read. Pure.

A stage is all steps of one kind: the dictionaries of all recipes and seeds are one stage. Arrows that follow from
others are left out of the drawing (transitive reduction), and a stage stands in the column after all that it reads;
one that reads nothing of the study stands just before its first reader.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crossdiff.provenance.origins import record_of

REPORT = "report"
WIDE, HIGH, ACROSS, DOWN = 112, 58, 28, 16
"""Size of a box and the gaps between boxes, in units of the drawing."""


@dataclass(frozen=True)
class Stage:
    """All steps of one kind."""

    name: str
    jobs: int
    seconds: float
    """Of all jobs together."""
    peak_bytes: int
    """Of the job that held most memory."""
    reads: frozenset[str]
    """Stages whose files its steps recorded as inputs."""


@dataclass(frozen=True)
class Box:
    """A stage in the drawing; x and y of its upper left corner."""

    stage: Stage
    x: float
    y: float


@dataclass(frozen=True)
class Flow:
    """The drawing."""

    stages: Mapping[str, Stage]

    @cached_property
    def arrows(self) -> list[tuple[str, str]]:
        """(read, reader) without arrows that follow from others."""
        return [
            (read, stage.name)
            for stage in self.stages.values()
            for read in self.stages
            if read in stage.reads and not any(read in self.above[other] for other in stage.reads - {read})
        ]

    @cached_property
    def above(self) -> dict[str, set[str]]:
        """For each stage, all stages it rests on."""
        found: dict[str, set[str]] = {}
        todo = list(self.stages.values())
        while todo:
            ready = [stage for stage in todo if stage.reads <= found.keys()]
            for stage in ready or todo[:1]:  # records of several versions might go in a circle: draw them all the same
                found[stage.name] = set(stage.reads).union(*(found.get(read, set()) for read in stage.reads))
                todo.remove(stage)
        return found

    @cached_property
    def columns(self) -> dict[str, int]:
        """Column of each stage."""
        found: dict[str, int] = {}
        for name in self.above:
            found[name] = 1 + max((found.get(read, -1) for read in self.stages[name].reads), default=-1)
        for name in found:
            readers = [found[reader] for read, reader in self.arrows if read == name]
            if not self.stages[name].reads and readers:
                found[name] = max(0, min(readers) - 1)
        return found

    @cached_property
    def boxes(self) -> dict[str, Box]:
        """Where each stage stands: columns from left to right, centred."""
        found = {}
        for name, column in self.columns.items():
            beside = [other for other in self.stages if self.columns[other] == column]
            y = (HIGH + DOWN) * (beside.index(name) + (self.rows - len(beside)) / 2)
            found[name] = Box(self.stages[name], column * (WIDE + ACROSS), y)
        return found

    @property
    def rows(self) -> int:
        """Boxes in the fullest column."""
        found = list(self.columns.values())
        return max(found.count(column) for column in found)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the drawing."""
        across = 1 + max(self.columns.values())
        return across * (WIDE + ACROSS) - ACROSS, self.rows * (HIGH + DOWN) - DOWN

    def path(self, read: str, reader: str) -> str:
        """An arrow as an SVG path, from the right side of one box to the left side of the other."""
        one, other = self.boxes[read], self.boxes[reader]
        x, y, to_x, to_y = one.x + WIDE, one.y + HIGH / 2, other.x - 3, other.y + HIGH / 2
        middle = (x + to_x) / 2
        return f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"


def flow(pair: str, records: Mapping[str, Mapping[str, Any]], files: Iterable[str]) -> Flow:
    """The graph of the recorded steps, and the report that read ``files`` (relative to results/<pair>)."""
    grouped: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for file, record in records.items():
        grouped.setdefault(stage_of(file), []).append((file, record))
    above = f"results/{pair}/"
    found = {}
    for name, steps in grouped.items():
        read = {path.removeprefix(above) for _, record in steps for path in record["inputs"] if path.startswith(above)}
        seconds = sum(record["seconds"] for _, record in steps)
        peak = max(record["peak_bytes"] for _, record in steps)
        reads = {stage_of(record_of(path)) for path in read} & grouped.keys() - {name}
        found[name] = Stage(name, len(steps), seconds, peak, frozenset(reads))
    reads = {stage_of(record_of(path)) for path in files} & grouped.keys()
    return Flow(found | {REPORT: Stage(REPORT, 1, 0.0, 0, frozenset(reads))})


def stage_of(record: str) -> str:
    """The stage of a step, by the place of its record under results/<pair>."""
    return "synthetic" if record.startswith("truth/synthetic/") else record.split("/")[0]
