"""Figure of the planted behaviours: what each dictionary's best latents do to them."""

from collections.abc import Iterator
from typing import Any

import altair as alt
import polars as pl

from crossdiff.report import behaviours, names
from crossdiff.report.collect import Study
from crossdiff.report.figures.theme import CHAT, FAINT, INK, RULE, TOP, Figure, data, present
from crossdiff.report.seeds import Tree, ends, mean

KINDS = {"best latents": CHAT, "random latents": FAINT, "mean-difference direction": INK}


def effects(study: Study, metrics: Tree, edit: str) -> Figure:
    """Change of the answer's log-probability by one edit: behaviours × dictionaries."""
    rows, noise = list(chosen(metrics, edit)), list(random_sets(study, edit))
    subjects = [*study.names, behaviours.DIRECTION]
    y = alt.Y("subject:N", sort=subjects, axis=alt.Axis(title=None, labelLimit=160), scale=alt.Scale(domain=subjects))
    there = (row["kind"] for row in rows + noise)
    colour = alt.Color("kind:N", scale=present(KINDS, there), legend=alt.Legend(title=None, columns=2))
    x = alt.X("change:Q", axis=alt.Axis(title="change of log-probability, nats a token", tickCount=5))
    where = pl.DataFrame(rows + noise, infer_schema_length=None)
    base = alt.Chart().encode(y=y)
    layers = alt.layer(
        base.mark_rule(color=RULE, strokeWidth=1.5).encode(x=alt.XDatum(0), y=alt.value(0), y2=alt.value("height")),
        base.transform_filter("datum.kind == 'random latents'")
        .mark_tick(thickness=1.5, height=9, opacity=0.9)
        .encode(x=x, color=colour),
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2, opacity=0.55)
        .encode(x="low:Q", x2="high:Q", color=colour),
        base.transform_filter("isValid(datum.low)")
        .mark_point(filled=True, size=55, opacity=1)
        .encode(x=x, color=colour),
        data=data(where),
    ).properties(width=180, height=alt.Step(16))
    chart = layers.facet(row=alt.Row("behaviour:N", sort=list(metrics["pair"]["behaviours"]), header=TOP), spacing=10)
    return Figure(
        name=f"behaviours-{edit}",
        title=f"Latents {names.EDITS[edit]}",
        chart=chart,
        text=f"Change of the log-probability of each planted behaviour's answer when latents are {names.EDITS[edit]}.",
        files=("metrics.json#/dictionaries/*/effects", f"metrics.json#/directions/{behaviours.DIRECTION}/effects"),
    )


def chosen(metrics: Tree, edit: str) -> Iterator[dict[str, Any]]:
    """Best latents of each dictionary and the mean-difference direction, with intervals over prompts."""
    subjects = {
        name: (tree["effects"], behaviours.BEST, "best latents") for name, tree in metrics["dictionaries"].items()
    }
    direction = metrics["directions"][behaviours.DIRECTION]["effects"]
    subjects[behaviours.DIRECTION] = (direction, behaviours.DIRECTION, "mean-difference direction")
    for subject, (tree, key, kind) in subjects.items():
        for behaviour, edits in tree.items():
            if key in edits.get(edit, {}):
                leaf = edits[edit][key]["logprob"]
                low, high = ends(leaf)
                yield {
                    "behaviour": behaviour,
                    "subject": subject,
                    "kind": kind,
                    "change": mean(leaf),
                    "low": low,
                    "high": high,
                }


def random_sets(study: Study, edit: str) -> Iterator[dict[str, Any]]:
    """Each random set of each seed: its mean change."""
    for item in study.dictionaries:
        tables = [run.behaviours for run in item.runs if run.behaviours is not None]
        table = behaviours.randoms(behaviours.changes(study, tables)).filter(pl.col("edit") == edit)
        means = table.group_by("behaviour", "table", "subject", maintain_order=True).agg(pl.col("logprob").mean())
        for behaviour, change in means.select("behaviour", "logprob").iter_rows():
            yield {
                "behaviour": behaviour,
                "subject": item.name,
                "kind": "random latents",
                "change": change,
                "low": None,
                "high": None,
            }
