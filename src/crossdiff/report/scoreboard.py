"""Who moves a behaviour most: each dictionary's best latents, its called ones, and what needs no dictionary.

Three contests for each behaviour: added to the base, removed from chat (both in nats a behaviour token), and seen
before the answer (area under the ROC curve). A baseline that does better than every dictionary is named as the winner;
clearly better is one whose paired difference over prompts is above 0 in its 95 % interval, against each of them.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import polars as pl
from markupsafe import Markup

from crossdiff.report import behaviours, names
from crossdiff.report.behaviours import BEST, CONTROLS, WANTED
from crossdiff.report.collect import Dictionary, Study
from crossdiff.report.seeds import Leaf, Tree, leaf, mean, over_few
from crossdiff.report.words import listed, sentence, some, spelled

AUROC = "auroc"
CONTESTS = ("add", "remove", AUROC)
Path = tuple[str, ...]


def path(owner: Path, subject: str, behaviour: str, contest: str) -> Path:
    """Where the number of one contest stands in metrics.json; ``subject`` names latents, or the direction itself."""
    if contest == AUROC:
        return (*owner, "detection", *((subject,) if owner[0] == "dictionaries" else ()), behaviour, "auroc")
    return (*owner, "effects", behaviour, contest, subject, "logprob")


def value(metrics: Tree, where: Path) -> Leaf | None:
    """The leaf at a path; None if there is none."""
    node: Any = metrics
    for name in where:
        if not isinstance(node, dict) or name not in node:
            return None
        node = node[name]
    return node


def better(leaf_: Leaf, contest: str) -> float:
    """Larger is better: the change in the wanted direction, or the area."""
    return mean(leaf_) * WANTED.get(contest, 1)


def baselines(metrics: Tree, behaviour: str, contest: str) -> dict[str, Leaf]:
    """Direction -> its number in one contest, where it takes part."""
    found = {
        name: value(metrics, path(("directions", name), name, behaviour, contest)) for name in metrics["directions"]
    }
    return {name: leaf_ for name, leaf_ in found.items() if leaf_ is not None}


def entries(study: Study, metrics: Tree) -> list[dict[str, Any]]:
    """metrics.json#/behaviours: {behaviour, dictionary, called, auroc, effect, control, best_baseline}.

    ``called`` is the number of called chat-specific latents used, None if nothing could be called. ``auroc``,
    ``effect`` and ``control`` hold a number for the ``best`` latents and one for the ``called``, None if there are
    none; of ``effect`` and ``control`` one by each edit. ``best_baseline`` names the best direction of each contest
    with its ``value`` and, of edits, its ``margin`` over the best latents, paired by prompt.
    """
    return [
        {
            "behaviour": behaviour,
            "dictionary": item.name,
            "called": called(study, item, behaviour),
            "auroc": {s: value(metrics, path(("dictionaries", item.name), s, behaviour, AUROC)) for s in CONTROLS},
            "effect": {s: by_edit(metrics, item, s, behaviour) for s in CONTROLS},
            "control": {s: by_edit(metrics, item, control, behaviour) for s, control in CONTROLS.items()},
            "best_baseline": {c: best for c in CONTESTS if (best := rival(study, metrics, item, behaviour, c))},
        }
        for behaviour in metrics["pair"]["behaviours"]
        for item in study.dictionaries
    ]


def by_edit(metrics: Tree, item: Dictionary, subject: str, behaviour: str) -> Tree | None:
    """Edit -> change of the log-probability; None if the subject was not edited."""
    found = {edit: value(metrics, path(("dictionaries", item.name), subject, behaviour, edit)) for edit in WANTED}
    return None if None in found.values() else found


def called(study: Study, item: Dictionary, behaviour: str) -> Leaf | None:
    """How many called latents were edited for a behaviour, over seeds; None without calibration."""
    records = [study.records[f"evidence/{run.folder}/run.json"]["results"] for run in item.runs]
    if any(record.get("called") is None for record in records):
        return None
    sets = [record["chosen"].get(behaviour, {}).get("called", {"latents": []}) for record in records]
    return leaf([len(each["latents"]) for each in sets])


def rival(study: Study, metrics: Tree, item: Dictionary, behaviour: str, contest: str) -> dict[str, Any] | None:
    """The best direction in one contest, beside one dictionary's best latents; None if none takes part."""
    found = baselines(metrics, behaviour, contest)
    if not found:
        return None
    name = max(found, key=lambda each: better(found[each], contest))
    entry = {"name": name, "value": found[name]}
    return entry if contest == AUROC else entry | {"margin": margin(study, item, name, behaviour, contest)}


def margin(study: Study, item: Dictionary, direction: str, behaviour: str, edit: str) -> Leaf | None:
    """How much more a direction moves than a dictionary's best latents, in the wanted direction, paired by prompt."""
    assert study.effects is not None
    chosen = (pl.col("behaviour") == behaviour) & (pl.col("edit") == edit)
    theirs = behaviours.changes(study, [study.effects]).filter(chosen & (pl.col("subject") == direction))
    tables = [run.behaviours for run in item.runs if run.behaviours is not None]
    own = behaviours.changes(study, tables).filter(chosen & (pl.col("subject") == BEST))
    own = own.group_by("prompt", maintain_order=True).agg(pl.col("logprob").mean())
    paired = theirs.select("prompt", "logprob").join(own, on="prompt", suffix="_own").sort("prompt")
    if paired.is_empty():
        return None
    return over_few((WANTED[edit] * (paired["logprob"] - paired["logprob_own"])).to_list())


def rows(study: Study, metrics: Tree, contest: str) -> Iterator[dict[str, Any]]:
    """One row a behaviour: {behaviour, cells}; each cell is {path, called, accuracy, wins} of its column.

    ``called`` is None of a direction, which has no latents.
    """
    columns: list[tuple[Path, str]] = [(("dictionaries", name), BEST) for name in study.names]
    columns += [(("directions", name), name) for name in taking_part(metrics, contest)]
    for behaviour in metrics["pair"]["behaviours"]:
        found = [value(metrics, path(owner, subject, behaviour, contest)) for owner, subject in columns]
        most = max((better(leaf_, contest) for leaf_ in found if leaf_ is not None), default=0.0)
        yield {
            "behaviour": behaviour,
            "cells": [
                {
                    "path": (where := path(owner, subject, behaviour, contest)),
                    "called": path(owner, "called", behaviour, contest) if owner[0] == "dictionaries" else None,
                    "accuracy": (*where[:-1], "accuracy"),
                    "wins": leaf_ is not None and better(leaf_, contest) == most > 0,
                }
                for (owner, subject), leaf_ in zip(columns, found, strict=True)
            ],
        }


def taking_part(metrics: Tree, contest: str) -> list[str]:
    """Directions that take part in a contest."""
    return [
        name
        for name in metrics["directions"]
        if any(name in baselines(metrics, behaviour, contest) for behaviour in metrics["pair"]["behaviours"])
    ]


@dataclass(frozen=True)
class Result:
    """How baselines did in one contest against every dictionary's best latents."""

    total: int
    """Behaviours on which a baseline was measured."""
    won: dict[str, str]
    """Behaviours on which the best baseline does better than every dictionary, with its name."""
    clear: list[str] | None
    """Those of them where it clearly does; None where no paired difference is taken."""


def result(metrics: Tree, contest: str) -> Result:
    """The result of one contest over all behaviours."""
    by_behaviour: dict[str, list[dict[str, Any]]] = {}
    for entry in metrics["behaviours"]:
        if contest in entry["best_baseline"]:
            by_behaviour.setdefault(entry["behaviour"], []).append(entry)
    won = {name: some for name, some in by_behaviour.items() if all(loses(entry, contest) for entry in some)}
    edited = contest != AUROC
    return Result(
        total=len(by_behaviour),
        won={name: some[0]["best_baseline"][contest]["name"] for name, some in won.items()},
        clear=[name for name, some in won.items() if all(map(is_clear, some, repeat(contest)))] if edited else None,
    )


def words(metrics: Tree, contest: str) -> Markup:
    """Where a baseline does better than every dictionary's best latents, in a sentence."""
    found = result(metrics, contest)
    what = {"add": "Added to the base", "remove": "Removed from chat", AUROC: "Before the answer"}[contest]
    if not found.total:
        return Markup("{}: no baseline was measured.").format(what)
    if not found.won:
        return sentence(
            "{what}, a dictionary's best latents do as well as every baseline or better for {all} behaviours.",
            what=what,
            all="both" if found.total == 2 else f"all {spelled(found.total)}",
        )
    counts = Counter(names.DIRECTIONS[name] for name in found.won.values())
    text = sentence(
        "{what}, <strong>a baseline does better than every dictionary</strong> for {won} of {all} behaviours ({which})",
        what=what,
        won=spelled(len(found.won)),
        all=spelled(found.total),
        which=listed([f"the {name} {spelled(count)}" for name, count in counts.items()]),
    )
    return text + ("." if found.clear is None else sentence(", clearly for {n}.", n=some(len(found.clear))))


def loses(entry: dict[str, Any], contest: str) -> bool:
    """Whether the best baseline does better than the entry's best latents; latents that were not measured lose."""
    own = entry["auroc"][BEST] if contest == AUROC else (entry["effect"][BEST] or {}).get(contest)
    return own is None or better(entry["best_baseline"][contest]["value"], contest) > better(own, contest)


def is_clear(entry: dict[str, Any], contest: str) -> bool:
    """Whether the paired difference is above 0 in its interval."""
    ahead = entry["best_baseline"][contest]["margin"]
    return isinstance(ahead, dict) and ahead["low"] > 0
