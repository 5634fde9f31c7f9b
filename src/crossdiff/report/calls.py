"""Calibrated calls for the report: numbers for metrics.json, and the tables of one section. Pure; reads records only.

What `crossdiff.evidence.calls` wrote into calls/<dictionary>.run.json is merged over seeds here.
"""

import math
from collections.abc import Mapping
from typing import Any

from crossdiff.report.seeds import Leaf, Tree, ends, few, leaf, mean

Records = Mapping[str, dict[str, Any]]
"""Dictionary -> ``results`` of its record."""
SHARE = (0.0, 1.0)
SHARES = (
    "reappears",
    "reappears_assigned",
    "reappears_decoder",
    "jaccard",
    "jaccard_chance",
    "overlap",
    "overlap_chance",
)
"""Numbers of stability that are shares; the others count."""
TOO_OFTEN = 2
"""Times a small p may come as often as stated before the report says that a null does not calibrate."""
CRITERIA = {"nu_0.3": "|ν| < 0.3", "delta_norm": "Δ_norm > 0.9 or < 0.1", "nu_pair": "|ν_r| < 0.5 and |ν_ε| < 0.2"}
"""Thresholds of the literature in words."""


def calibration(records: Records) -> list[dict[str, Any]]:
    """Observed beside nominal false discovery rate: {dictionary, source, criterion, nominal, observed, recall, seeds}.

    The criterion names the call as well; ``nominal`` is None for a fixed threshold, which states no rate; ``observed``
    and ``recall`` are means with intervals over held-out seeds, ``recall`` None where there was nothing to find.
    ``observed`` leaves out ``unmatched`` calls, on latents that follow no factor; ``at_most`` counts them as false.
    """
    return [
        {
            "dictionary": name,
            "source": entry["source"],
            "criterion": f"{entry['call']}, {entry['criterion']}",
            "nominal": entry["nominal"],
            "observed": over(entry["observed"]),
            "at_most": over(at_most(entry)),
            "recall": over(entry["recall"]),
            "called": over(entry["called"], None),
            "unmatched": over(entry["unmatched"], None),
            "seeds": len(entry["seed"]),
        }
        for name, results in records.items()
        for entry in results["honesty"]
    ]


def at_most(entry: Mapping[str, Any]) -> list[float | None]:
    """The observed rate of each seed if all calls on latents without an answer were false."""
    seeds = zip(entry["observed"], entry["called"], entry["unmatched"], strict=True)
    return [(rate * known + none) / (known + none) if known + none else 0.0 for rate, known, none in seeds]


def over(values: list[float | None], bounds: tuple[float, float] | None = SHARE) -> Leaf | None:
    """Mean with its interval (of two: both values) over the seeds that have a value; None if none has."""
    known = [value for value in values if value is not None]
    return few(known, bounds) if known else None


def calls(results: Mapping[str, Any]) -> Tree:
    """Numbers of one dictionary: {counts: criterion -> call -> n, distinct: the same, features, null_tune, ranks,
    stability, power, power_upheld, consensus}; counts are means over seeds.

    ``distinct`` counts latents that are copies of each other once, ``features`` all live ones so; ``consensus`` is how
    many latents more than half of the seeds call chat-specific. What was not measured has no name.
    """
    stability = {
        name: {key: value for key, value in numbers.items() if value is not None}
        for name, numbers in results["stability"].items()
        if isinstance(numbers, dict)
    }
    agreed = results.get("consensus")
    return ({} if agreed is None else {"consensus": len(agreed)}) | {
        "q": results["q"],
        "features": leaf(results["features"]),
        "ranks": ranks(results["ranks"]),
        "null_tune": null_tune(results["null_tune"]),
        **{
            key: {
                criterion: {call: leaf(values) for call, values in by_call.items()}
                for criterion, by_call in results[key].items()
            }
            for key in ("counts", "distinct")
        },
        "power": power(results["power"]),
        "power_upheld": power(results["power_upheld"] or {}),
        "stability": {
            name: {key: whole_interval(value, 1.0 if key in SHARES else math.inf) for key, value in numbers.items()}
            for name, numbers in stability.items()
            if numbers
        },
    }


def power(by_call: Mapping[str, Mapping[str, Any]]) -> Tree:
    """call -> {nulls, smallest_p, least_calls}: how many latents must agree before any can be called, at most."""
    return {
        call: {"nulls": each["nulls"], "smallest_p": each["smallest_p"], "least_calls": max(each["least_calls"])}
        for call, each in by_call.items()
        if each["nulls"]
    }


def null_tune(entries: list[dict[str, Any]]) -> Tree:
    """criterion -> call -> {pair, null}: latents named on the pair and on the null tune, means over their seeds."""
    tree: Tree = {}
    for entry in entries:
        both = {side: leaf(entry[side]) for side in ("pair", "null")}
        tree.setdefault(entry["criterion"], {})[entry["call"]] = both
    return tree


def copied(calls_: Tree) -> set[tuple[str, str]]:
    """(criterion, call) of the counts in which latents that are copies of each other stand more than once."""
    return {
        (criterion, call)
        for criterion, by_call in calls_["distinct"].items()
        for call, value in by_call.items()
        if mean(value) < mean(calls_["counts"][criterion][call])
    }


def by_chance(calls_: Tree, set_: str, needed: str) -> bool:
    """Whether no more groups of a set are named in several seeds ("in_most", "in_all") than chance would name."""
    numbers = calls_["stability"].get(set_, {})
    return needed in numbers and mean(numbers[needed]) <= ends(numbers[f"{needed}_chance"])[1]


def beside_the_null(calls_: Tree) -> list[tuple[str, str, str]]:
    """(criterion, its words, call) of each count that is not 0 on both the pair and the null tune."""
    return [
        (criterion, CRITERIA.get(criterion, criterion), call)
        for criterion, by_call in calls_["null_tune"].items()
        for call, both in by_call.items()
        if any(mean(both[side]) for side in ("pair", "null"))
    ]


def ranks(entries: list[dict[str, Any]]) -> Tree:
    """source -> call -> level -> P(p ≤ level) / level of latents known to be null, by their ranks alone."""
    tree: Tree = {}
    for entry in entries:
        if (value := over(entry["excess"], (0.0, math.inf))) is not None:
            tree.setdefault(entry["source"], {}).setdefault(entry["call"], {})[f"{entry['level']:g}"] = value
    return tree


def strangest(tree: Tree, level: float) -> tuple[str, str] | None:
    """(source, call) of `ranks` that reach ``level`` most often, if that is more than twice as often as stated."""
    found = {
        (source, call): mean(by_level[f"{level:g}"])
        for source, by_call in tree.items()
        for call, by_level in by_call.items()
    }
    most = max(found, key=found.__getitem__, default=None)
    return most if most is not None and found[most] > TOO_OFTEN else None


def whole_interval(number: float | Mapping[str, float], most: float) -> Leaf:
    """A leaf with its interval cut to 0 … ``most``, or the bare mean where there is none (fewer than three seeds)."""
    if isinstance(number, int | float):
        return number
    if "low" not in number:
        return number["mean"]
    low, high = max(0.0, number["low"]), min(most, number["high"])
    return {"mean": number["mean"], "low": low, "high": high, "n": int(number["n"])}


def held(entry: Mapping[str, Any]) -> bool | None:
    """Whether the observed rate is at most 1.5 × the nominal one; None where no rate is stated or nothing was seen.

    Where there was something to find and nothing was called, no rate was seen.
    """
    if entry["nominal"] is None or entry["observed"] is None:
        return None
    if entry["recall"] is not None and not mean(entry["called"]):
        return None
    return bool(mean(entry["observed"]) <= 1.5 * entry["nominal"])
