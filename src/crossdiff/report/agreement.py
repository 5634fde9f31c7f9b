"""Whether seeds name the same latents, in a sentence."""

from collections.abc import Sequence

from markupsafe import Markup

from crossdiff.report.numbers import Numbers
from crossdiff.report.seeds import ends
from crossdiff.report.words import listed, name, sentence

SETS = {"calibrated": "called", "nu_0.3": "|ν| < 0.3"}
"""Sets of latents that are compared: those called; where none is, those that a fixed threshold of ν names."""
HALF = 0.5
"""Share from which on seeds are said to agree."""


def agreement(dictionaries: Sequence[str], numbers: Numbers) -> Markup:
    """Where the sets that two seeds name overlap more than by chance, by the index's interval, and where not."""
    more: list[Markup] = []
    no_more: list[Markup] = []
    shares: list[float] = []
    for item in dictionaries:
        paths = [("dictionaries", item, "calls", "stability", each) for each in SETS]
        known = [path for path in paths if numbers.leaf(*path, "jaccard") is not None]
        if not known:
            continue
        index, chance = (known[0] + (key,) for key in ("jaccard", "jaccard_chance"))
        text = sentence(
            "{name} ({what}: {index}, by chance {chance})",
            name=name(item),
            what=SETS[known[0][-1]],
            index=numbers.brief(*index, style="share"),
            chance=numbers.brief(*chance, style="share"),
        )
        low, _ = ends(numbers.leaf(*index) or 0.0)
        shares.append(numbers.point(index))
        (more if low > (numbers.value(*chance) or 0.0) else no_more).append(text)
    if not more and not no_more:
        return Markup("No dictionary names latents in two seeds, so there is nothing to compare.")
    pattern = "Two seeds name the same latents clearly more often than chance would in {more}" if more else ""
    if no_more:
        pattern += (
            "; not clearly more often in {no_more}"
            if more
            else "Two seeds name the same latents not clearly more often than chance would: {no_more}"
        )
    return sentence(
        f"<strong>{answer(shares)}</strong> {pattern} (Jaccard index: of the latents that either seed names, the share"
        " that both do).",
        more=listed(more),
        no_more=listed(no_more),
    )


def answer(shares: Sequence[float]) -> str:
    """The answer in two words, from the share of the latents named by either of two seeds that both name."""
    if max(shares) < HALF:
        return "Mostly not."
    return "Mostly yes." if min(shares) >= HALF else "In some dictionaries."
