"""Whether the stated rate of false calls is the one that is met: a verdict, and the rates of each call."""

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from crossdiff.report.calls import held
from crossdiff.report.numbers import setting, written
from crossdiff.report.words import listed, name, sentence

Entries = Sequence[dict[str, Any]]
CALIBRATED = ", calibrated"


def stated(entries: Entries, q: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """(call, entry of metrics.json#/calibration) of each call at the rate ``q`` whose observed rate is known."""
    for entry in entries:
        call = entry["criterion"].removesuffix(CALIBRATED)
        if entry["nominal"] == q and call != entry["criterion"] and entry["observed"] is not None:
            yield call, entry


def verdict(entries: Entries, q: float) -> Markup | None:
    """One sentence without its full stop: which calls miss the rate ``q``, by dictionary; None if none was tested."""
    tested = list(stated(entries, q))
    if not tested:
        return None
    missed: dict[str, list[str]] = {}
    for call, entry in tested:
        calls = missed.setdefault(entry["dictionary"], [])
        if held(entry) is False and call not in calls:
            calls.append(call)
    which = [
        sentence("{name} ({calls})", name=name(item), calls=", ".join(calls)) for item, calls in missed.items() if calls
    ]
    rate = setting(written(q, "percent"), "calibration", "q")
    if not which:
        return sentence("The stated {rate} is met wherever it was tested (1½ times counts as met)", rate=rate)
    return sentence(
        "<strong>The stated {rate} is not met everywhere it was tested</strong> (1½ times counts as met): not in"
        " {which}",
        rate=rate,
        which=listed(which),
    )


def grid(entries: Entries, q: float) -> tuple[list[str], dict[str, dict[str, dict[str, dict[str, Any]]]]]:
    """(calls, dictionary -> source -> call -> entry) at a stated ``q``."""
    every: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for call, entry in stated(entries, q):
        every.setdefault(entry["dictionary"], {}).setdefault(entry["source"], {})[call] = entry
    rows = [row for by_source in every.values() for row in by_source.values()]
    return list(dict.fromkeys(call for row in rows for call in row)), every
