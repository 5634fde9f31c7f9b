"""Whether the dictionaries were trained to the end, as far as their curves tell."""

from collections.abc import Iterator

import polars as pl
from markupsafe import Markup

from crossdiff.dictionaries.recipe import Recipe
from crossdiff.report.collect import Run, Study
from crossdiff.report.numbers import Numbers
from crossdiff.report.words import listed, name, sentence

LAST = 0.1
"""Share of the steps that counts as the end."""
SETTLED = 0.005
"""Rise of the FVE up to which a curve counts as level."""


def late_rise(run: Run) -> float | None:
    """Mean FVE of the last tenth of the steps less that of the tenth before; None without a curve of both."""
    if run.training is None or "fve" not in run.training.columns:
        return None
    at = pl.col("step") / pl.col("step").max()
    last = run.training.filter(at > 1 - LAST)["fve"].mean()
    before = run.training.filter(at.is_between(1 - 2 * LAST, 1 - LAST, closed="right"))["fve"].mean()
    return last - before if isinstance(last, float) and isinstance(before, float) else None


def words(study: Study, numbers: Numbers) -> Iterator[Markup]:
    """A sentence each on rising curves, level ones, the learning rate and dead latents; none of what was imported."""
    rises = {item: numbers.value("dictionaries", item, "training", "late_rise") for item in study.names}
    rising = [item for item, rise in rises.items() if rise is not None and rise > SETTLED]
    level = [item for item, rise in rises.items() if rise is not None and rise <= SETTLED]
    if rising:
        text = "Not wholly: from the tenth of the steps before the last to the last tenth, FVE still rose in {rising}."
        yield sentence(text, rising=told(numbers, rising))
    if level:
        text = "Level by then{bound}: {level}." if rising else (
            "Yes, by their curves: from the tenth of the steps before the last to the last tenth, FVE rose no more than"
            " {limit}: {level}."
        )  # fmt: skip
        bound = f" (a rise of at most {SETTLED})" if rising else ""
        yield sentence(text, bound=bound, limit=SETTLED, level=told(numbers, level))
    recipes = {item.name: item.recipe for item in study.dictionaries if isinstance(item.recipe, Recipe)}
    falling = [item for item, recipe in recipes.items() if recipe.decay_start is not None]
    if falling:
        text = (
            "The learning rate falls to 0 at the end in {falling}; that alone levels a curve, so more steps may still"
            " raise it."
        )
        whose = Markup("every dictionary") if len(falling) == len(recipes) else listed([*map(name, falling)])
        yield sentence(text, falling=whose)
    if any_dead(study) is False:
        tokens = sorted({recipe.dead_after_tokens for recipe in recipes.values()})
        yield sentence(
            "No latent was silent for the {tokens} tokens after which training counts it as dead.",
            tokens=" or ".join(f"{count:,}" for count in tokens),
        )


def told(numbers: Numbers, items: list[str]) -> Markup:
    """Each dictionary with its rise."""
    path = ("training", "late_rise")
    return listed(
        [
            sentence("{item} by {rise}", item=name(item), rise=numbers.show("dictionaries", item, *path))
            for item in items
        ]
    )


def any_dead(study: Study) -> bool | None:
    """Whether a latent counted as dead at any step of training; None without curves that tell."""
    curves = [run.training for item in study.dictionaries for run in item.runs if run.training is not None]
    counts = [curve["dead"].max() for curve in curves if "dead" in curve.columns]
    return any(count for count in counts) if counts else None
