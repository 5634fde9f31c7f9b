"""Numbers, figures and latents -> one self-contained HTML page: no script, no network, one file."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from crossdiff.report import examples, names
from crossdiff.report.answer import Answer
from crossdiff.report.collect import Study
from crossdiff.report.figures import theme
from crossdiff.report.latents import CLASSES, NU_ACTIVATION, NU_ERROR, NU_RECONSTRUCTION
from crossdiff.report.limits import limits
from crossdiff.report.numbers import Numbers, written
from crossdiff.report.seeds import Tree
from crossdiff.report.words import spelled

SHOTS = 160
"""Longest prompt or answer quoted, in characters, before it is cut."""


@dataclass(frozen=True)
class Step:
    """One row of the table of steps."""

    name: str
    file: str
    record: dict[str, Any]

    @property
    def code(self) -> str:
        """Short commit, marked if the source was changed since."""
        code = self.record["code"]
        return (code["commit"][:10] + (" + changes" if code["dirty"] else "")) if code["commit"] else "unknown"


def page(study: Study, metrics: Tree, figures: dict[str, list[theme.Figure]]) -> str:
    """The page as text."""
    numbers = Numbers(metrics)
    environment = Environment(
        loader=PackageLoader("crossdiff.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"written": written, "spelled": spelled, "symbols": symbols}
    return environment.get_template("report.html.j2").render(
        study=study,
        metrics=metrics,
        show=numbers.show,
        under=lambda *path: partial(numbers.show, *path),
        has=lambda *path: numbers.leaf(*path) is not None,
        answer=Answer(study, numbers),
        limits=list(limits(study, numbers)),
        figures=figures,
        drawn=lambda figure: Markup(theme.inline(figure)),
        cards={item.name: examples.cards(item, study.rows) for item in study.dictionaries},
        planted=list(planted(study)),
        chosen=chosen(study),
        masked=masked(study),
        corpus=corpus(study),
        steps=list(steps(study)),
        versions=versions(study),
        config=json.dumps(study.config.model_dump(mode="json"), indent=1),
        css=css(),
        names=names,
        classes=CLASSES,
        thresholds={"r": NU_RECONSTRUCTION, "e": NU_ERROR, "a": NU_ACTIVATION[0]},
    )


def css() -> Markup:
    """The style sheet, with the figures' colours as variables and their partners on a dark page."""
    light = {
        "ink": theme.INK,
        "muted": theme.MUTED,
        "faint": theme.FAINT,
        "rule": theme.RULE,
        "paper": theme.PAPER,
        "chat": theme.CHAT,
        "base": theme.BASE,
    }

    def root(colours: dict[str, str], strength: float) -> str:
        variables = "".join(f"--{name}:{colour};" for name, colour in colours.items())
        red, green, blue = (int(colours["chat"][at : at + 2], 16) for at in (1, 3, 5))
        return f":root{{{variables}--chat-rgb:{red} {green} {blue};--strength:{strength}}}"

    swaps = "".join(
        f'svg [{part}="{light_colour}"]{{{part}:{dark_colour}}}'
        for light_colour, dark_colour in theme.DARK.items()
        for part in ("fill", "stroke")
    )
    dark = root({name: theme.DARK[colour] for name, colour in light.items()}, 0.6)
    sheet = (files("crossdiff.report") / "templates" / "report.css").read_text()
    return Markup(f"{root(light, 0.55)}@media(prefers-color-scheme:dark){{{dark}{swaps}}}\n{sheet}")


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


def symbols(text: str) -> Markup:
    """Plain text with Δ_norm, ν_r and ν_ε set as symbols with subscripts."""
    return Markup(re.sub(r"(Δ|ν)_(norm|r|ε)\b", r"\1<sub>\2</sub>", str(escape(text))))


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
        (examples.visible(token["text"]), token["count"])
        for token in study.manifest["splits"]["train"].get("masked_tokens", [])
    ]


def steps(study: Study) -> Iterator[Step]:
    """Every recorded step in the study's order."""
    for file, record in study.records.items():
        yield Step(record["name"], file, record)


def versions(study: Study) -> dict[str, list[str]]:
    """Versions of each package over all steps; more than one if steps disagree."""
    found: dict[str, list[str]] = {}
    for record in study.records.values():
        for package, version in record["versions"].items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    return found
