"""The pair and the corpus it read."""

from typing import Any

import polars as pl
from markupsafe import Markup

from crossdiff.report.collect import Study
from crossdiff.report.section import Context, Section
from crossdiff.report.words import visible


def section(context: Context) -> Section:
    """Models, corpus, masked tokens."""
    study = context.study
    return Section(
        id="pair",
        title="Pair and corpus",
        question="Which models, and what did they read?",
        html=context.render("pair.html.j2", corpus=corpus(study), masked=masked(study)),
    )


def corpus(study: Study) -> list[dict[str, Any]]:
    """Rows and tokens of each source and split."""
    return (
        study.rows.group_by("source", "split")
        .agg(rows=pl.len(), tokens=pl.col("tokens").sum())
        .sort("source", "split")
        .to_dicts()
    )


def masked(study: Study) -> list[tuple[Markup, int]]:
    """Which tokens were masked for their norm most often in training rows: (text, count)."""
    return [
        (visible(token["text"]), token["count"]) for token in study.manifest["splits"]["train"].get("masked_tokens", [])
    ]
