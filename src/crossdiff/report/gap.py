"""The KL gap in plain words: which dictionary closes most of it, and whether its latents or what they leave out do."""

from markupsafe import Markup

from crossdiff.report import names
from crossdiff.report.kl import NONE, REST
from crossdiff.report.numbers import Numbers
from crossdiff.report.seeds import ends
from crossdiff.report.words import listed, name, sentence

Path = tuple[str, ...]
GAP: Path = ("pair", "kl", "kl", "all", NONE)
RIVALS = {
    "template": "the chat stream at template tokens alone closes {n}",
    "components": "{k} principal components of the difference close {n}",
}
"""What needs no dictionary does, by its name among the interventions."""


def recovered(item: str, part: str) -> Path:
    """Where the share of the gap that an intervention closes at all assistant tokens stands."""
    return ("dictionaries", item, "kl_recovered", "all", part)


def wholes(numbers: Numbers) -> list[tuple[str, str]]:
    """(dictionary, the intervention that stands for it as a whole), the largest share of the gap first."""
    found: list[tuple[str, str]] = []
    for item in numbers.metrics["dictionaries"]:
        table = numbers.leaf("dictionaries", item, "kl_recovered", "all")
        if isinstance(table, dict) and (whole := names.whole(table)) is not None:
            found.append((item, whole))
    return sorted(found, key=lambda pair: -numbers.point(recovered(*pair)))


def winner(numbers: Numbers) -> Markup | None:
    """The dictionary that closes most of the gap, in nats and as a share, beside the template tokens alone."""
    ranked = wholes(numbers)
    if not ranked:
        return None
    best, whole = ranked[0]
    path = recovered(best, whole)
    if numbers.point(path) <= 0:
        return Markup("No dictionary's reconstruction closes any of the KL gap between the base and the chat stream.")
    text = sentence(
        "The base's stream, put into the chat model at this block, moves its predictions by {gap} nats a token (KL),"
        " and of this gap {best} closes most, {share}",
        gap=numbers.show(*GAP, style="nats"),
        best=name(best),
        share=numbers.show(*path, style="percent"),
    )
    if len(ranked) > 1:
        other = recovered(*ranked[1])
        share = numbers.show(*other, style="percent")
        text += sentence(", before {name}, {share}", name=name(ranked[1][0]), share=share)
        text += ", though their intervals overlap" if overlap(numbers, path, other) else ""
    return text + rivals(numbers, best) + "."


def rivals(numbers: Numbers, best: str) -> Markup:
    """How what needs no dictionary does against the best one, by paired conversations."""
    better: list[Markup] = []
    others: list[Markup] = []
    for rival, words in RIVALS.items():
        margin = numbers.leaf("dictionaries", best, "margins", "all", f"whole_over_{rival}")
        if margin is None:
            continue
        low, high = ends(margin)
        unclear = low <= 0 <= high
        text = sentence(
            words + (" (not clearly another share)" if unclear else ""),
            k=numbers.brief("pair", "components", style="count"),
            n=numbers.show("pair", "kl", "kl_recovered", "all", rival, style="percent"),
        )
        (better if high < 0 else others).append(text)
    won = sentence("; <strong>a baseline does better:</strong> {what}", what=listed(better)) if better else Markup()
    return won + (sentence("; without a dictionary {what}", what=listed(others)) if others else Markup())


def rest(numbers: Numbers) -> Markup | None:
    """Whether everything but a dictionary's latents closes more of the gap than the dictionary; None if unknown."""
    more: list[Markup] = []
    less: list[Markup] = []
    for item, whole in wholes(numbers):
        if numbers.leaf(*recovered(item, REST)) is None:
            continue
        shares = [numbers.brief(*recovered(item, part), style="percent") for part in (REST, whole)]
        text = sentence("{name} ({rest} against {whole})", name=name(item), rest=shares[0], whole=shares[1])
        outside = numbers.point(recovered(item, REST)) > numbers.point(recovered(item, whole))
        (more if outside else less).append(text)
    if more:
        pattern = "<strong>What the reconstruction leaves out carries more than it does</strong> in {more}"
        pattern += "; in {less} it carries less." if less else "."
    elif less:
        pattern = "What the reconstruction leaves out carries less than it does: {less}."
    else:
        return None
    return sentence(pattern, more=listed(more), less=listed(less))


def halves(numbers: Numbers) -> Markup | None:
    """Whether the most chat-specific latents close more of the gap than a random set of the same size.

    Clearly: the 95 % interval of the difference, from paired conversations, does not hold 0.
    """
    better: list[Markup] = []
    wider: list[Markup] = []
    others: list[Markup] = []
    worse: list[Markup] = []
    for item in numbers.metrics["dictionaries"]:
        best, random = recovered(item, "best-nu"), recovered(item, "random")
        if numbers.leaf(*best) is None or numbers.leaf(*random) is None:
            continue
        values = [numbers.brief(*path, style="percent") for path in (best, random)]
        text = sentence("{name} ({best} against {random})", name=name(item), best=values[0], random=values[1])
        margin = numbers.leaf("dictionaries", item, "margins", "all", "best_over_random")
        low, high = (0.0, 0.0) if margin is None else ends(margin)
        if high < 0:
            worse.append(text)
        elif low > 0:
            (better if numbers.point(best) > 0 else wider).append(text)
        else:
            others.append(text)
    patterns = {
        "close clearly more of the KL gap than a random set of their size in {what}": better,
        "do clearly less harm than a random set, but close nothing of the gap, in {what}": wider,
        "do not clearly better than a random set in {what}": others,
        "do clearly worse than a random set in {what}": worse,
    }
    parts = [sentence(pattern, what=listed(found)) for pattern, found in patterns.items() if found]
    if not parts:
        return None
    return sentence(
        "The latents that ν ranks first {parts}. ν: how much of a latent's direction the base uses, 0 not at all, 1 as"
        " much as chat. Clearly: the 95 % interval of the difference, over conversations, does not hold 0.",
        parts=Markup("; they ").join(parts),
    )


def overlap(numbers: Numbers, one: Path, other: Path) -> bool:
    """Whether two leaves' intervals overlap."""
    (low, high), (low2, high2) = (ends(numbers.leaf(*path) or 0.0) for path in (one, other))
    return low <= high2 and low2 <= high
