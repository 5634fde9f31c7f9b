"""What the numbers do not show, said beside them as far as it can be computed."""

from collections.abc import Iterator

from markupsafe import Markup

from crossdiff.dictionaries.recipe import Recipe
from crossdiff.report.collect import Study
from crossdiff.report.latents import specific
from crossdiff.report.numbers import Numbers
from crossdiff.report.words import listed, name, sentence, spelled

MANY = 0.2
"""Share of latents from which on a fault is worth a sentence."""


def limits(study: Study, numbers: Numbers) -> Iterator[Markup]:
    """One sentence or two for each limit."""
    seeds = study.seeds
    yield sentence(
        "{seeds} on one pair, one layer and one corpus; nothing here says how it would look elsewhere.",
        seeds=f"{spelled(seeds).capitalize()} seed{'s' if seeds != 1 else ''}",
    )
    yield Markup(
        "Thresholds of Δ<sub>norm</sub> and ν are conventions of the literature: their counts state no error rate."
    )
    yield nulls(study)
    yield from smaller_null(numbers)
    yield Markup(
        "0 % of the KL gap is a stitched model, the base model's stream in the chat model's upper blocks, not the base"
        " model itself."
    )
    for item in study.names:
        yield from ill_posed(numbers, item)
    yield from mostly_template(study, numbers)
    for imported in study.dictionaries:
        if imported.origin:
            yield sentence(
                "{name} is imported from {origin}: it was trained elsewhere, on other texts, and is one run, so its"
                " counts have no interval.",
                name=name(imported.name),
                origin=imported.origin,
            )
    if len({item.recipe.sources for item in study.dictionaries if isinstance(item.recipe, Recipe)}) > 1:
        yield Markup(
            "The dictionaries were not all trained on the same sources, so differences between them may be differences"
            " of data."
        )
    if study.effects is not None:
        yield Markup(
            "The rows of a planted behaviour are alike, yet errors by block of rows take them for independent:"
            " intervals of latents that fire on them alone are too narrow."
        )
        yield Markup(
            "Planted behaviours are narrow and change the words of an answer; finding them is easier than finding what"
            " chat tuning does at large."
        )


def nulls(study: Study) -> Markup:
    """What calls are calibrated on, and what that leaves open."""
    calibration = study.config.calibration
    if study.config.null_pair:
        seeds = "one seed" if len(calibration.null_seeds) == 1 else f"{spelled(len(calibration.null_seeds))} seeds"
        pattern = (
            "Calls are calibrated on a synthetic null; they are upheld if they also hold on the null tune, {tune}"
            " ({seeds} of each dictionary). What that tune adds in truth counts as false"
            " there, so what is upheld errs towards too few, and what is called may be what any tune adds."
            if study.config.synthetic_null
            else "Calls are calibrated on the null tune, {tune} ({seeds} of each dictionary). What that tune adds in"
            " truth counts as false there, so they err towards too few."
        )
        return sentence(pattern, seeds=seeds, tune=tune(study))
    if study.config.synthetic_null:
        return Markup(
            "Calls are calibrated on a synthetic null alone, which knows nothing of real tunes. On the packaged pair a"
            " tune with nothing planted is given as many calls as the planted one: name such a tune under"
            " <code>calibration.null_tune</code> before a call is believed."
        )
    return Markup("No null was given, so nothing is called and a count has no false-positive rate.")


def smaller_null(numbers: Numbers) -> Iterator[Markup]:
    """If the null tune moves the model less than the pair's tune: then it bounds less than all of its nuisances."""
    paths = [("pair", share, "overall") for share in ("difference_share", "null_difference_share")]
    pair, null = (numbers.value(*path) for path in paths)
    if pair is not None and null is not None and null < pair:
        yield sentence(
            "The null tune differs from the base by {null} of the variance, the pair by {pair}: a tune that changes"
            " less also adds less, so what is upheld may still be what any tune of the pair's size adds.",
            null=numbers.brief(*paths[1], style="percent"),
            pair=numbers.brief(*paths[0], style="percent"),
        )


def tune(study: Study) -> str:
    """What the null tune is, in a few words."""
    source = study.config.calibration.null_tune
    if source is not None and source.planted is not None:
        return (
            f"the same base tuned for {source.planted.steps} steps on {source.planted.general} general conversations,"
            " with nothing planted"
        )
    return "another tune of the same base, on nothing that is looked for"


def nulls_named(study: Study) -> str | None:
    """What calls are calibrated on, in a few words; None if nothing is."""
    if study.config.synthetic_null:
        return "a synthetic null" + (", and upheld if the null tune says the same" if study.config.null_pair else "")
    return "the null tune" if study.config.null_pair else None


def ill_posed(numbers: Numbers, item: str) -> Iterator[Markup]:
    """If ν is ill-posed for many of a dictionary's live latents."""
    alive, valid = (numbers.value("dictionaries", item, "nu", part) for part in ("alive", "valid"))
    if not alive or valid is None or valid / alive > 1 - MANY:
        return
    yield sentence(
        "In {name} ν is well-posed for only {valid} of {alive} live latents; |ν| < 0.3 counts none of the others.",
        name=name(item),
        valid=numbers.show("dictionaries", item, "nu", "valid", style="count", interval=False),
        alive=numbers.show("dictionaries", item, "nu", "alive", style="count", interval=False),
    )


def mostly_template(study: Study, numbers: Numbers) -> Iterator[Markup]:
    """If many chat-specific latents of a dictionary fire mostly on template tokens."""
    paths = {item: ("dictionaries", item, "template", "chat_specific", "mostly") for item in study.names}
    counted = {item.name: specific(item) for item in study.dictionaries}
    many = [
        sentence(
            "{name} ({share} of {n})",
            name=name(item),
            share=numbers.brief(*path, style="percent"),
            n=numbers.brief(*counted[item], style="count"),
        )
        for item, path in paths.items()
        if (numbers.value(*path) or 0.0) >= MANY
    ]
    if many:
        yield sentence(
            "On chat text many of the chat-specific latents fire mostly on template tokens: {many}.",
            many=listed(many),
        )
