"""Answers under single latents of a dictionary: how often planted behaviours show, and the answers side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from crossdiff.report.collect import Dictionary
from crossdiff.report.seeds import Tree


def rates(table: pl.DataFrame, scales: Iterable[float], behaviours: Iterable[str]) -> Tree:
    """{model: {scale: {behaviour: share of answers that show it}}} over prompts and latents; scale 0 is unsteered."""
    tree: Tree = {}
    for (model,), rows in table.group_by("model", maintain_order=True):
        for scale in (0.0, *scales):
            shows = rows.filter(pl.col("scale") == scale)["shows"]
            if len(shows):
                shares = {name: shows.list.contains(name).mean() for name in behaviours}
                tree.setdefault(model, {})[f"{scale:g}"] = shares
    return tree


@dataclass(frozen=True)
class Asked:
    """One prompt with the answers of each model."""

    prompt: str
    behaviour: str | None
    """The planted behaviour whose control it is."""
    answers: dict[str, list[tuple[str, str, list[str]]]]
    """(what was added, answer, behaviours it shows) by model, the unsteered one first."""


def side_by_side(item: Dictionary) -> Iterator[Asked]:
    """Every prompt of the dictionary's first seed."""
    table = item.runs[0].steering
    if table is None:
        return
    for (prompt, behaviour), rows in table.group_by("prompt", "behaviour", maintain_order=True):
        answers = {
            model: [(added(latent, scale), text, shows) for latent, scale, text, shows in part.rows()]
            for (model,), part in rows.select("model", "latent", "scale", "answer", "shows").partition_by(
                "model", as_dict=True, include_key=False
            ).items()
        }  # fmt: skip
        yield Asked(prompt, behaviour, answers)


def added(latent: int | None, scale: float) -> str:
    """What was added, in words."""
    return "unsteered" if latent is None else f"latent {latent} × {scale:g}".replace("-", "−")
