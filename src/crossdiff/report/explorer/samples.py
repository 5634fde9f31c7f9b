"""What the models answered while latents were edited, beside the unedited answer and one under random latents' edit."""

from typing import Any

import polars as pl

from crossdiff.report import names
from crossdiff.report.behaviours import BEST, NONE
from crossdiff.report.collect import Run, Study

PROMPTS = 2
"""Prompts quoted of a behaviour and edit: the first that have both answers, whatever they say."""
LONGEST = 220
"""Characters of an answer, at most."""
RANDOM = "random-0"
KEYS = ["behaviour", "edit", "prompt"]


def samples(study: Study, run: Run) -> dict[str, list[dict[str, Any]]]:
    """For each behaviour: edits and prompts, each with its answers as [text, whether the behaviour shows].

    ``before`` is the unedited model's, ``after`` that under the edit of the dictionary's best latents, ``random`` (or
    None) that under the same edit of random latents as active as they are. Empty where nothing was planted or no
    answer was generated.
    """
    if study.answers is None or study.effects is None or run.behaviours is None:
        return {}
    if not all("answer" in table.columns for table in (study.effects, run.behaviours)):
        return {}
    rows = answers(run.behaviours, BEST, "after").join(answers(study.effects, NONE, "before"), on=KEYS)
    rows = rows.join(answers(run.behaviours, RANDOM, "random"), on=KEYS, how="left")
    quoted = rows.sort(KEYS).group_by("behaviour", "edit", maintain_order=True).head(PROMPTS)
    prompts = study.answers["prompt"].to_list()
    found: dict[str, list[dict[str, Any]]] = {}
    for row in quoted.sort("behaviour", "edit", "prompt", descending=[False, True, False]).iter_rows(named=True):
        of_prompt = {name: told(row[name]) for name in ("before", "after", "random")}
        edit = names.EDITS.get(row["edit"], row["edit"])
        found.setdefault(row["behaviour"], []).append({"edit": edit, "prompt": prompts[row["prompt"]], **of_prompt})
    return found


def answers(table: pl.DataFrame, subject: str, name: str) -> pl.DataFrame:
    """The generated answers of one subject: the keys, and a struct column ``name``."""
    there = table.filter((pl.col("subject") == subject) & pl.col("answer").is_not_null())
    return there.select(*KEYS, pl.struct("answer", "present").alias(name))


def told(answer: dict[str, Any] | None) -> list[Any] | None:
    """[at most `LONGEST` characters of the text, whether the behaviour shows: 1, 0 or None]."""
    if answer is None or answer["answer"] is None:
        return None
    text, present = answer["answer"], answer["present"]
    return [
        text if len(text) <= LONGEST else text[:LONGEST].rstrip() + "…",
        None if present is None else int(present),
    ]
