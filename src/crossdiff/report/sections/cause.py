"""Whether the latents cause what the chat model does: KL patching, and edits on planted behaviours."""

from collections.abc import Iterator
from typing import Any

import polars as pl
from markupsafe import Markup

from crossdiff.report import gap, names, scoreboard, steering
from crossdiff.report.collect import Study
from crossdiff.report.figures import behaviours, kl, layers
from crossdiff.report.section import Context, Section, flat

SHOTS = 160
"""Longest prompt or answer quoted, in characters, before it is cut."""


def section(context: Context) -> Section:
    """KL under every intervention; with planted behaviours also what edits of latents do to them."""
    study, metrics = context.study, context.metrics
    edits = [edit for edit in names.EDITS if study.effects is not None and edit in study.effects["edit"]]
    figures = {
        "kl": [kl.nats(metrics, place) for place in metrics["pair"]["kl"]["kl"]],
        "layers": [] if study.layers is None else [layers.sweep(study, metrics)],
        "behaviours": [behaviours.effects(study, metrics, edit) for edit in edits],
    }
    html = context.render(
        "cause.html.j2",
        figures=figures,
        sources=sources(study),
        rest=gap.rest(context.numbers),
        wholes=gap.wholes(context.numbers),
        turned=any(tree.get("answers_turned") for tree in metrics["dictionaries"].values()),
        planted=list(planted(study)),
        chosen=chosen(study),
        contests=[contest(context, name) for name in scoreboard.CONTESTS if edits],
    )
    return Section(
        id="cause",
        title="Causes",
        question="Do they cause what the chat model does?",
        html=html + under_latents(context),
        figures=flat(figures.values()),
    )


def sources(study: Study) -> str:
    """How many of the conversations are from which source; empty where they are of one."""
    counted = study.records["evidence/baselines/run.json"]["results"].get("sources", [])
    return ", ".join(f"{count} of {name}" for name, count in counted) if len(counted) > 1 else ""


def under_latents(context: Context) -> Markup:
    """Answers under single latents; nothing where the study has none."""
    study, settings = context.study, context.study.config.evidence.steering
    if settings is None:
        return Markup("")
    return context.render(
        "steering.html.j2",
        asked={item.name: list(steering.side_by_side(item)) for item in study.dictionaries},
        rates={name: tree.get("steering", {}) for name, tree in context.metrics["dictionaries"].items()},
        behaviours=list(context.metrics["pair"].get("behaviours", {})),
        models=settings.models,
    )


def contest(context: Context, name: str) -> dict[str, Any]:
    """One table of the scoreboard, and what it says in words."""
    study, metrics = context.study, context.metrics
    rows = list(scoreboard.rows(study, metrics, name))
    return {
        "name": name,
        "words": scoreboard.words(metrics, name),
        "directions": scoreboard.taking_part(metrics, name),
        "rows": rows,
        "called": [
            item for number, item in enumerate(study.names) if any(has_called(context, row, number) for row in rows)
        ],
    }


def has_called(context: Context, row: dict[str, Any], number: int) -> bool:
    """Whether the row has a number for the called latents of its ``number``-th column."""
    return context.numbers.leaf(*row["cells"][number]["called"]) is not None


def planted(study: Study) -> Iterator[dict[str, Any]]:
    """For each planted behaviour: its name, and one held-out prompt with both answers."""
    if study.answers is None:
        return
    for (name,), rows in study.answers.group_by("behaviour", maintain_order=True):
        shown = rows.filter(pl.col("kind") == "held-out").sort("present_chat", descending=True, maintain_order=True)
        for row in shown.head(1).iter_rows(named=True):
            yield {
                "name": name,
                "kind": (study.behaviours or {}).get(name, {}).get("kind"),
                "prompt": row["prompt"],
                "base": cut(row["answer_base"]),
                "chat": marked(row["answer_chat"], row["spans_chat"]),
            }


def chosen(study: Study) -> dict[str, dict[str, list[int]]]:
    """Latents that each dictionary, first seed, used for each behaviour, best first."""
    records = {item.name: study.records[f"evidence/{item.runs[0].folder}/run.json"] for item in study.dictionaries}
    return {
        name: {behaviour: sets["best"]["latents"] for behaviour, sets in record["results"].get("chosen", {}).items()}
        for name, record in records.items()
    }


def cut(text: str) -> str:
    """At most ``SHOTS`` characters."""
    return text if len(text) <= SHOTS else text[:SHOTS].rstrip() + "…"


def marked(text: str, spans: list[dict[str, int]]) -> Markup:
    """An answer with the behaviour's spans highlighted."""
    parts, end = [], 0
    for span in sorted(spans, key=lambda span: span["start"]):
        start = max(end, span["start"])
        parts += [text[end:start], Markup('<span class="present">{}</span>').format(text[start : span["end"]])]
        end = max(end, span["end"])
    tail = text[end:]
    return Markup("").join([*parts, tail if len(text) <= 2 * SHOTS else cut(tail)])
