"""What the models answered while latents were edited: one prompt a behaviour, edit and dictionary."""

from typing import Any

import polars as pl

from crossdiff.report import names
from crossdiff.report.collect import Run, Study

SHOTS = 220
"""Longest answer quoted, in characters."""


def samples(study: Study, run: Run) -> dict[str, list[dict[str, str]]]:
    """For each behaviour: an edit, the prompt, the answer before and after; the first prompt that has both answers.

    Empty where nothing was planted or no answer was generated.
    """
    if study.answers is None or study.effects is None or run.behaviours is None:
        return {}
    if not all("answer" in table.columns for table in (study.effects, run.behaviours)):
        return {}
    keys = ["behaviour", "edit", "prompt"]
    before = study.effects.filter(pl.col("subject") == "none").select(*keys, before="answer")
    after = run.behaviours.filter(pl.col("subject") == "best").select(*keys, after="answer")
    both = after.join(before, on=keys, maintain_order="left").drop_nulls(["before", "after"])
    prompts = study.answers["prompt"].to_list()
    found: dict[str, list[dict[str, str]]] = {}
    for row in both.unique(["behaviour", "edit"], keep="first", maintain_order=True).iter_rows(named=True):
        found.setdefault(row["behaviour"], []).append(
            {
                "edit": names.EDITS.get(row["edit"], row["edit"]),
                "prompt": prompts[row["prompt"]],
                "before": cut(row["before"]),
                "after": cut(row["after"]),
            }
        )
    return found


def cut(text: Any) -> str:
    """At most ``SHOTS`` characters."""
    return text if len(text) <= SHOTS else text[:SHOTS].rstrip() + "…"
