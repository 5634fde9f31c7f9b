"""Rounds, medians, the table and the JSON file: what all benchmarks share.

Subjects take turns round by round in one process, so that all of them see the same weather; a ratio is the median
of the ratios of each round, not the ratio of two medians.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.hardware import machine

Seconds = dict[str, list[float]]
"""Seconds of each round, by subject."""


@dataclass(frozen=True)
class Row:
    """One number. ``ratio`` is this subject's value over that of ``against``."""

    case: str
    subject: str
    metric: str
    value: float | str | None
    """Median over rounds; a text where there is no number ("not installed")."""
    unit: str = ""
    against: str | None = None
    ratio: float | None = None
    low: float | None = None
    """Smallest of the rounds."""
    high: float | None = None


class Clock:
    """Seconds of a piece of work, by CUDA events on a GPU."""

    def __init__(self, device: str = "cpu"):
        self._cuda = device.startswith("cuda")

    def seconds(self, work: Callable[[], object]) -> float:
        """How long ``work`` takes until its last kernel is done."""
        if not self._cuda:
            started = time.perf_counter()
            work()
            return time.perf_counter() - started
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        first.record()
        work()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last) / 1000


def alternate(subjects: Mapping[str, Callable[[], object]], rounds: int, clock: Clock, warmup: int = 1) -> Seconds:
    """Seconds of every subject in every round; the first ``warmup`` rounds are not counted.

    The order turns by one each round, so that no subject always follows the same neighbour.
    """
    names = list(subjects)
    taken: Seconds = {name: [] for name in names}
    for turn in range(warmup + rounds):
        shift = turn % max(1, len(names))
        for name in names[shift:] + names[:shift]:
            seconds = clock.seconds(subjects[name])
            if turn >= warmup:
                taken[name].append(seconds)
    return taken


def rate_rows(
    case: str, metric: str, unit: str, amount: float, taken: Seconds, against: Mapping[str, str]
) -> list[Row]:
    """``amount`` a round as a rate of each subject; a ratio above 1 says that the subject is the faster.

    ``against`` names, for a subject, whom it is compared with, separated by commas.
    """
    rates = {name: [amount / seconds for seconds in rounds] for name, rounds in taken.items()}
    return [row for name in rates for row in compared(case, name, metric, unit, rates, against.get(name, ""))]


def time_rows(case: str, metric: str, steps: int, taken: Seconds, against: Mapping[str, str]) -> list[Row]:
    """Milliseconds of one of ``steps`` steps; a ratio above 1 says that the subject takes longer."""
    times = {name: [1000 * seconds / steps for seconds in rounds] for name, rounds in taken.items()}
    return [row for name in times for row in compared(case, name, metric, "ms", times, against.get(name, ""))]


def compared(
    case: str, name: str, metric: str, unit: str, values: Mapping[str, list[float]], against: str
) -> list[Row]:
    """One row for each of those a subject is compared with and that were measured; else one row without."""
    own = values[name]
    row = Row(case, name, metric, statistics.median(own), unit, low=min(own), high=max(own))
    others = [other for other in against.split(",") if other in values and other != name]
    return [
        replace(row, against=other, ratio=statistics.median(a / b for a, b in zip(own, values[other], strict=True)))
        for other in others
    ] or [row]


def absent(case: str, subject: str, metric: str, why: str) -> Row:
    """A subject that could not be measured."""
    return Row(case, subject, metric, why)


def parser(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write rows and machine there as well")
    made.add_argument("--rounds", type=int, default=rounds, help="rounds that count (default: %(default)s)")
    made.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    made.add_argument("--seed", type=int, default=0)
    return made


def report(name: str, options: argparse.Namespace, rows: list[Row]) -> None:
    """Print the machine and the table; write the JSON file if one was asked for."""
    facts = machine(getattr(options, "device", "cpu"))
    print("  ".join(f"{key}: {value}" for key, value in facts.items() if value is not None))
    print(table(rows))
    if options.json is not None:
        chosen = {key: value for key, value in vars(options).items() if key != "json"}
        document = {"benchmark": name, "machine": facts, "options": chosen, "rows": [asdict(row) for row in rows]}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1, default=str) + "\n")


def table(rows: list[Row]) -> str:
    """The rows as text in columns."""
    lines: list[tuple[str, ...]] = [("case", "subject", "metric", "median", "min", "max", "unit", "ratio", "against")]
    for row in rows:
        numbers = [shown(value) for value in (row.value, row.low, row.high)]
        lines.append((row.case, row.subject, row.metric, *numbers, row.unit, shown(row.ratio), row.against or ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 3 <= column <= 5 or column == 7 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def shown(value: Any) -> str:
    """A number with three or four digits that count; a text as it is; nothing for None."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 100 else f"{value:.3g}"
