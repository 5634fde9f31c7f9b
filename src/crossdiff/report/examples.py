"""The latents a reader should look at first, each with the texts on which it is most active."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from crossdiff.corpus.roles import Role
from crossdiff.report.collect import Dictionary, Run
from crossdiff.report.latents import rank
from crossdiff.report.numbers import written

LATENTS, EXAMPLES, AROUND = 6, 3, 14
"""Latents a dictionary, examples a latent, tokens shown to either side of the top token."""
FACTS = {
    "delta_norm": ("Δ_norm", "{}", "change"),
    "nu_reconstruction": ("ν_r", "{}", "change"),
    "nu_error": ("ν_ε", "{}", "change"),
    "nu_activation": ("ν", "{}", "change"),
    "frequency": ("active on", "{} of tokens", "percent"),
    "template_share": ("on template tokens", "{}", "percent"),
}
"""Columns of a card: their name, and how the value is written."""
VISIBLE = {"\n": "↵", "\t": "⇥", "\r": "␍", "\u00a0": "⍽", "\u200b": "∅", "\ufeff": "∅"}


@dataclass(frozen=True)
class Fact:
    """One number of a latent and where it stands."""

    name: str
    text: str
    source: str


@dataclass(frozen=True)
class Card:
    """One latent, ready to print."""

    latent: int
    kind: str | None
    """Its class by Δ_norm."""
    specific: bool
    facts: list[Fact]
    examples: list[tuple[str, Markup]]
    """(where from, shaded text)."""


def cards(item: Dictionary, rows: pl.DataFrame) -> list[Card]:
    """The most chat-specific latents of the first seed that have examples; ``rows`` gives the role of each token."""
    run = item.runs[0]
    shown = run.examples["latent"].unique().to_list()
    chosen = rank(item, run.latents).filter(pl.col("latent").is_in(shown)).head(LATENTS)
    examples = run.examples.filter(pl.col("rank") < EXAMPLES).join(rows.select("row", "roles"), on="row", how="left")
    return [card(run, latent, examples) for latent in chosen.iter_rows(named=True)]


def card(run: Run, latent: dict[str, Any], examples: pl.DataFrame) -> Card:
    """One latent's card."""
    top = examples.filter(pl.col("latent") == latent["latent"]).sort("rank")
    return Card(
        latent=latent["latent"],
        kind=latent.get("class"),
        specific=latent["specific"],
        facts=list(facts(run, latent)),
        examples=[(origin(example), shaded(example)) for example in top.iter_rows(named=True)],
    )


def origin(example: dict[str, Any]) -> str:
    """Where an example is from."""
    source = f"{example['source']}: {example['behaviour']}" if example["behaviour"] else example["source"]
    return f"{source}, row {example['row']}"


def facts(run: Run, latent: dict[str, Any]) -> Iterator[Fact]:
    """Its numbers, those that are defined."""
    for column, (name, pattern, style) in FACTS.items():
        value = latent.get(column)
        if value is None or math.isnan(value):
            continue
        text = pattern.format(written(value, style))
        if column == "nu_activation" and not latent.get("nu_valid"):
            text += " (ill-posed)"
        yield Fact(name, text, f"latents/{run.folder}.parquet#latent={latent['latent']}&column={column}")


def shaded(example: dict[str, Any]) -> Markup:
    """The window around the top token, each token shaded by its activation relative to the top one."""
    activations, tokens, first = example["activations"], example["tokens"], example["first"]
    middle = example["position"] - first
    start, end = max(0, middle - AROUND), min(len(tokens), middle + AROUND + 1)
    spans = [
        token(tokens[place], Role(example["roles"][first + place]), activations[place], activations[middle] or 1.0)
        for place in range(start, end)
    ]
    cut = Markup('<span class="cut">…</span>')
    before = [cut] if first + start > 0 else []
    after = [cut] if first + end < len(example["roles"]) else []
    return Markup("").join([*before, *spans, *after])


def token(text: str, role: Role, activation: float | None, peak: float) -> Markup:
    """One token: shaded by activation / peak; template and BOS tokens underlined, masked ones struck."""
    kinds = ["t"] if role in (Role.TEMPLATE, Role.BOS) else []
    if activation is None:
        return Markup('<span class="{}" title="masked for its norm">{}</span>').format(
            " ".join(["k", *kinds, "x"]), visible(text)
        )
    level = min(1.0, max(0.0, activation / peak))
    if level <= 0 and not kinds:
        return visible(text)
    hint = f"{role.name.lower()} · {activation:.3g}"
    style = Markup(' style="--a:{}"').format(f"{level:.2f}") if level > 0 else ""
    return Markup('<span class="{}"{} title="{}">{}</span>').format(" ".join(["k", *kinds]), style, hint, visible(text))


def visible(text: str) -> Markup:
    """Text with its invisible characters drawn."""
    return Markup("").join(
        Markup('<span class="v">{}</span>').format(VISIBLE[letter]) if letter in VISIBLE else letter for letter in text
    )
