"""What editing latents does to the planted behaviours, in plain words: log-probabilities, answers, and baselines."""

from markupsafe import Markup

from crossdiff.report import names, scoreboard
from crossdiff.report.numbers import Numbers, setting
from crossdiff.report.words import listed, name, sentence, some, spelled

Path = tuple[str, ...]


def found(item: str, edit: str) -> Path:
    """Where the number of behaviours stands whose answers a dictionary's latents shift."""
    return ("dictionaries", item, "behaviours_found", edit)


def shifts(numbers: Numbers, sets: int) -> Markup | None:
    """On how many behaviours latents shift the answer's log-probability, how many answers turn, and who does better."""
    planted = numbers.leaf("pair", "behaviours")
    edits = [edit for edit in names.EDITS if counts(numbers, edit)]
    if not isinstance(planted, dict) or not edits:
        return None
    texts: list[Markup] = []
    told = False
    for edit in edits:
        text = shift(numbers, edit, len(planted), sets, told)
        texts.append(text[:1].lower() + text[1:] if texts else text)
        told = told or any(counts(numbers, edit).values())
    return Markup("; ").join([*texts, *beaten(numbers, edits)]) + "."


def counts(numbers: Numbers, edit: str) -> dict[str, float]:
    """Behaviours whose answers each dictionary's latents shift by one edit."""
    paths = {item: found(item, edit) for item in numbers.metrics["dictionaries"]}
    return {item: numbers.point(path) for item, path in paths.items() if numbers.leaf(*path) is not None}


def shift(numbers: Numbers, edit: str, planted: int, sets: int, told: bool) -> Markup:
    """What the best dictionary does by one edit, beside ``sets`` random sets of its latents.

    If it was ``told`` of another edit what is shifted and by more than what, that is not said again.
    """
    by_item = counts(numbers, edit)
    most = max(by_item.values())
    best = [item for item, count in by_item.items() if count == most]
    way = "less likely" if edit == "remove" else "likelier"
    if most == 0:
        return sentence(
            "No dictionary's latents, {edit}, make the answer to one of the {all} planted behaviours {way} by more than"
            " random latents do",
            edit=names.EDITS[edit],
            all=spelled(planted),
            way=way,
        )
    rivals = "a random set" if sets == 1 else f"each of {spelled(sets)} random sets"
    what = "Latents of {best}, {edit}, "
    what += (
        "do so for {n}" if told else "shift the answer's log-probability more than {sets} for {n} of {all} behaviours"
    )
    text = sentence(
        what,
        best="every dictionary" if len(best) == len(by_item) > 1 else listed([name(item) for item in best]),
        edit=names.EDITS[edit],
        sets=setting(rivals, "evidence", "random_sets"),
        n=numbers.show(*found(best[0], edit), style="count"),
        all=numbers.words(planted, "pair", "behaviours"),
    )
    return text + turned(numbers, best, edit)


def turned(numbers: Numbers, items: list[str], edit: str) -> Markup:
    """How often the answers themselves change, by the one of ``items`` that turns most; empty where none is known."""
    paths = [("dictionaries", item, "answers_turned", edit) for item in items]
    paths = [path for path in paths if numbers.leaf(*path, "best") is not None]
    if not paths:
        return Markup("")
    path = max(paths, key=lambda each: numbers.point((*each, "best")))
    best = numbers.leaf(*path, "best")
    text = sentence(
        " ({at_most}{share} of the answers{n} {turn}",
        at_most="at most " if len(items) > 1 else "",
        n=sentence(" to {n} prompts", n=numbers.brief(*path, "best", "n", style="count"))
        if isinstance(best, dict)
        else "",
        share=numbers.brief(*path, "best", style="percent"),
        turn="lose the behaviour" if edit == "remove" else "come to show it",
    )
    if numbers.leaf(*path, "random") is not None:
        text += sentence(", by random latents {n}", n=numbers.brief(*path, "random", style="percent"))
    return text + ")"


def beaten(numbers: Numbers, edits: list[str]) -> list[Markup]:
    """On how many behaviours something without a dictionary moves the log-probability more than every dictionary."""
    results = {edit: scoreboard.result(numbers.metrics, edit) for edit in edits}
    won = {edit: each for edit, each in results.items() if each.won}
    if not won:
        return []
    counts = [
        sentence(
            "{n} ({edit}; clearly {clear})", n=numbers.words(spelled(len(each.won)), "behaviours"),
            edit=names.EDITS[edit], clear=numbers.words(some(len(each.clear or [])), "behaviours"),
        )
        for edit, each in won.items()
    ]  # fmt: skip
    return [
        sentence("<strong>a baseline does better</strong> than every dictionary for {counts}", counts=listed(counts))
    ]


def baselines(numbers: Numbers) -> Markup | None:
    """Where something without a dictionary does better than every dictionary, and what it costs elsewhere."""
    metrics = numbers.metrics
    if not metrics.get("behaviours"):
        return None
    results = {contest: scoreboard.result(metrics, contest) for contest in scoreboard.CONTESTS}
    parts = [
        sentence("{what} {n} of {all}{clear}", what=WHAT[contest],
                 n=numbers.words(spelled(len(each.won)), "behaviours"), all=spelled(each.total),
                 clear=f" (clearly {some(len(each.clear))})" if each.won and each.clear is not None else "")
        for contest, each in results.items() if each.total
    ]  # fmt: skip
    if not parts:
        return Markup("No baseline was measured.")
    text = sentence(
        "A baseline, one direction or a few that need no dictionary, does better than every dictionary's best latents:"
        " {parts}. ",
        parts=Markup("; ").join(parts),
    )
    if any(each.clear for each in results.values()):
        text += "Clearly: its lead over each dictionary, paired by prompt, is above 0 in its 95 % interval. "
    return text + cost(numbers)


WHAT = {"add": "added to the base on", "remove": "removed from chat on", scoreboard.AUROC: "seen before the answer on"}


def cost(numbers: Numbers) -> Markup:
    """What additions do to unrelated conversations: each direction's, and the dictionaries' least and most."""
    directions = {
        names.DIRECTIONS[item]: ("directions", item, "collateral", "add") for item in numbers.metrics["directions"]
    }
    own = [("dictionaries", item, "collateral", "best", "add") for item in numbers.metrics["dictionaries"]]
    own = sorted((path for path in own if numbers.leaf(*path) is not None), key=numbers.point)
    there = [
        sentence("{n} ({name})", n=numbers.brief(*path, style="nats"), name=item)
        for item, path in directions.items()
        if numbers.leaf(*path) is not None
    ]
    if not own or not there:
        return Markup("")
    ends = [numbers.brief(*path, style="nats") for path in dict.fromkeys((own[0], own[-1]))]
    return sentence(
        "Its cost: added, it moves predictions on unrelated conversations by {there} nats a token, the dictionaries'"
        " latents by {own}.",
        there=listed(there),
        own=Markup(" to ").join(ends),
    )
