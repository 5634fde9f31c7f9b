"""First sentences of the sections that ask whether something agrees: the answer, computed, before the details."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from crossdiff.report.collect import Dictionary
from crossdiff.report.gap import recovered, wholes
from crossdiff.report.latents import NU_ACTIVATION, specific
from crossdiff.report.moved import found
from crossdiff.report.numbers import Numbers
from crossdiff.report.words import listed, name, sentence, symbols

Path = tuple[str, ...]
WEAK, STRONG = 0.3, 0.7
"""Sizes of a rank correlation below which two orders have hardly anything, and from which on much, in common."""


def methods(items: Sequence[Dictionary], numbers: Numbers) -> Markup:
    """Which dictionary is first by the KL gap it closes, the latents that ν names, and the answers that it shifts."""
    contests = {
        "most of the KL gap ({n})": ([recovered(*pair) for pair in wholes(numbers)], "percent"),
        "the most latents named by ν ({n})": ([specific(item) for item in items], "count"),
        "the most behaviours shifted by removal ({n})": ([found(item.name, "remove") for item in items], "count"),
    }
    firsts = {
        words: (max(known, key=numbers.point), style)
        for words, (paths, style) in contests.items()
        if (known := [path for path in paths if numbers.value(*path)])
    }
    if len(firsts) < 2:
        return Markup()
    same = len({path[1] for path, _ in firsts.values()}) == 1
    parts = [
        sentence("{name} has " + words, name=name(path[1]), n=numbers.brief(*path, style=style))
        for words, (path, style) in firsts.items()
    ]
    start = "One dictionary comes first by each measure" if same else "Not on which dictionary comes first"
    return sentence("<strong>{start}:</strong> {parts}.", start=start, parts=listed(parts))


def thresholds(items: Sequence[Dictionary], numbers: Numbers) -> Markup:
    """How far the count of latents below a threshold of ν depends on it, where it does most."""
    low, *_, high = (f"activation_{level:g}" for level in NU_ACTIVATION)
    paths = [("dictionaries", item.name, "chat_specific") for item in items]
    known = [path for path in paths if numbers.value(*path, low) is not None and numbers.value(*path, high)]
    if not known:
        return Markup()
    most = max(known, key=lambda path: numbers.point((*path, high)) / max(1.0, numbers.point((*path, low))))
    return sentence(
        "<strong>Where the line is drawn, among the rest:</strong> with |ν| below {strict:g} {name} has {few} latents,"
        " below {loose:g} {many}.",
        strict=NU_ACTIVATION[0],
        loose=NU_ACTIVATION[-1],
        name=name(most[1]),
        few=numbers.brief(*most, low, style="count"),
        many=numbers.brief(*most, high, style="count"),
    )


def rows_alike(items: Sequence[Dictionary], numbers: Numbers) -> Markup:
    """Mean cosines of the two decoder rows and the two encoder columns of shared latents."""
    parts = list(_cosines(items, numbers))
    return sentence("Of shared latents, on average: {parts}.", parts=listed(parts)) if parts else Markup()


def _cosines(items: Sequence[Dictionary], numbers: Numbers) -> Iterator[Markup]:
    for item in items:
        rows, columns = (("dictionaries", item.name, "cosine", side, "shared") for side in ("decoder", "encoder"))
        if numbers.value(*rows) is None or numbers.value(*columns) is None:
            continue
        apart = numbers.point(columns) < 0
        yield sentence(
            "in {name} a cosine of {rows} between decoder rows and of {columns} between encoder columns{apart}",
            name=name(item.name),
            rows=numbers.brief(*rows, style="number"),
            columns=numbers.brief(*columns, style="number"),
            apart=" (below 0: it is read from what tells the streams apart)" if apart else "",
        )


def norms_and_nu(items: Sequence[Dictionary], numbers: Numbers) -> Markup:
    """How far Δ_norm and ν_r order latents alike, by Spearman's correlation."""
    key = ("correlation", "spearman", "delta_norm_nu_reconstruction")
    paths = [("dictionaries", item.name, *key) for item in items]
    known = [path for path in paths if numbers.value(*path) is not None]
    if not known:
        return Markup()
    sizes = [-numbers.point(path) for path in known]
    verdict = "Hardly." if max(sizes) < WEAK else "Largely." if min(sizes) >= STRONG else "In part."
    shown = [sentence("{n} in {name}", n=numbers.brief(*path, style="change"), name=name(path[1])) for path in known]
    return sentence(
        "<strong>{verdict}</strong> The rank correlation of {delta} and {nu} is {shown}; −1 would be one order.",
        verdict=verdict,
        delta=symbols("Δ_norm"),
        nu=symbols("ν_r"),
        shown=listed(shown),
    )


def template(items: Sequence[Dictionary], numbers: Numbers) -> Markup:
    """How many of the latents that ν names are mostly active on the template."""
    paths = [("dictionaries", item.name, "template", "chat_specific", "mostly") for item in items]
    shown = [
        sentence("{n} in {name}", n=numbers.brief(*path, style="percent"), name=name(path[1]))
        for path in paths
        if numbers.value(*path) is not None
    ]
    return (
        sentence("Of the latents that ν names, mostly on the template are {shown}.", shown=listed(shown))
        if shown
        else Markup()
    )
