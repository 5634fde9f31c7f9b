"""Which criterion can be believed, in a sentence: what each one's calls are worth where the truth is known."""

from markupsafe import Markup

from crossdiff.report.numbers import Numbers
from crossdiff.report.synthetic import CRITERIA
from crossdiff.report.words import name, sentence, symbols

RIGHT = 0.9
"""Precision from which on a criterion's calls are believed."""
LEAST = 10
"""Calls, mean over pairs, from which on their precision says something."""
Path = tuple[str, ...]


def criteria(item: str, numbers: Numbers) -> dict[str, Path]:
    """Criterion -> where its numbers for factors of chat alone stand, of those that say how often they are right."""
    found = numbers.leaf("synthetic", item, "criteria", "chat")
    names = found if isinstance(found, dict) else {}
    paths = {each: ("synthetic", item, "criteria", "chat", each) for each in names}
    return {each: path for each, path in paths.items() if numbers.leaf(*path, "precision") is not None}


def verdict(numbers: Numbers) -> Markup:
    """Of each dictionary the criterion that is right most often, or what it calls where nothing differs."""
    best: list[Markup] = []
    trusted = 0
    for item in numbers.metrics["synthetic"]:
        paths = criteria(item, numbers)
        if not paths:
            continue
        first = max(paths, key=lambda each: numbers.point((*paths[each], "precision")))
        path = paths[first]
        precise = numbers.point((*path, "precision")) >= RIGHT and (numbers.value(*path, "called") or 0.0) >= LEAST
        false = numbers.value(*path, "null_called") or 0.0
        trusted += precise and not false
        text = sentence(
            "{name} {criterion}, right on {right} of its calls",
            name=name(item),
            criterion=symbols(CRITERIA.get(first, first)),
            right=numbers.brief(*path, "precision", style="percent"),
        )
        if false:
            null = numbers.brief(*path, "null_called", style="count")
            text += sentence(" and calling {n} where nothing differs", n=null)
        best.append(text)
    start = (
        "No fixed threshold can be believed by itself: none is right on nine of ten calls, of ten at least, without"
        " calling any where nothing differs."
        if not trusted
        else "A fixed threshold can be believed in {n} of the dictionaries: right on nine of ten calls, and none where"
        " nothing differs."
    )
    return sentence(start + " The best of each: {best}.", n=trusted, best=Markup("; ").join(best))
