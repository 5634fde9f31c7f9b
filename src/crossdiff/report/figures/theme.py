"""One visual language for all figures, and how a figure becomes a drawing.

Colours are told apart by colour-blind readers (Okabe and Ito's set). One colour, one meaning: orange is the chat model
and what is special to it, blue is the base model and what needs no dictionary, ink is a whole, grey the rest. On a dark
page the style sheet exchanges each colour for its partner in ``DARK``; figures need no second drawing.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import altair as alt
import polars as pl
import vl_convert
from altair.utils.schemapi import disable_debug_mode
from markupsafe import escape

disable_debug_mode()  # each part of a chart would be held against Vega-Lite's schema as it is made; see `Figure.spec`

INK, MUTED, FAINT, RULE, PAPER = "#1d2329", "#66707a", "#9aa3ad", "#e3e6ea", "#ffffff"
CHAT, BASE, GREEN, PURPLE = "#d55e00", "#0072b2", "#00855f", "#a8497f"
PALE, SHARED, OTHER = "#f1b992", "#9aa6b4", "#ccd2d9"

DARK = {
    INK: "#e8eaed",
    MUTED: "#a3acb6",
    FAINT: "#737c86",
    RULE: "#30363d",
    PAPER: "#14171a",
    CHAT: "#ff8a3d",
    BASE: "#4aa8e8",
    GREEN: "#35b98f",
    PURPLE: "#d683b2",
    PALE: "#8a5430",
    SHARED: "#7d8894",
    OTHER: "#4a525b",
}
"""Partner of each colour on a dark page."""

SERIES = (BASE, CHAT, GREEN, PURPLE)
"""Colours of the dictionaries, in the config's order; repeated beyond four."""
CLASS_COLOURS = {"chat-only": CHAT, "base-only": BASE, "shared": SHARED, "other": OTHER}
TOP = alt.Header(title=None, labelOrient="top", labelAngle=0, labelAnchor="start", labelPadding=-2)
"""Rows of a facet, named above each."""
FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
VERSION = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


@dataclass(frozen=True)
class Figure:
    """One drawing: its file stem, its specification, and what a reader who cannot see it is told."""

    name: str
    title: str
    chart: Any
    text: str
    """What it shows, in a sentence; {name} stands for one of the counts."""
    files: tuple[str, ...]
    """Addresses of what it is drawn from (`crossdiff.provenance.addresses`)."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Numbers in the text, by name."""

    @property
    def sentence(self) -> str:
        """The text with its counts."""
        return self.text.format_map({name: f"{count:,}" for name, count in self.counts.items()})

    @cached_property
    def spec(self) -> dict[str, Any]:
        """Its Vega-Lite specification, which also tells what it is drawn from and the counts of its text.

        It is not held against Vega-Lite's schema, which takes as long as drawing it; the tests do that.
        """
        return styled(self.chart).to_dict(validate=False) | {
            "usermeta": {"files": self.files, "counts": dict(self.counts)}
        }

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG document: coordinates cut to two decimals, identifiers numbered from 0.

        The renderer counts its identifiers through all figures of a process; here the same figure gives the same bytes.
        """
        text = vl_convert.vegalite_to_svg(self.spec, vl_version=VERSION)
        for number, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', text))):
            text = re.sub(rf'(\bid="|url\(#){re.escape(name)}(?=["\)])', rf"\g<1>part{number}", text)
        return re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d{2})\d+", r"\1", tag[0]), text)


class Rows(alt.InlineData):
    """Inline data that all copies of a chart share; Altair copies a chart for each thing that is said of it."""

    def __deepcopy__(self, memo: Any) -> "Rows":
        return self


def data(rows: pl.DataFrame | Iterable[Mapping[str, Any]], name: str | None = None) -> Rows:
    """Rows as inline data, numbers cut to six digits; ``name`` tells them apart in the table of a figure of several."""
    items = rows.to_dicts() if isinstance(rows, pl.DataFrame) else rows
    values = [{key: _short(value) for key, value in item.items()} for item in items]
    return Rows(values=values, name=name) if name else Rows(values=values)


def decades(title: str) -> alt.Axis:
    """An axis of a logarithmic scale, with a line a power of ten."""
    return alt.Axis(
        title=title, values=[10.0**power for power in range(-8, 8)], labelExpr="format(datum.value, '~g')", grid=True
    )


def by_dictionary(shown: list[str], names: list[str]) -> alt.Color:
    """Colour of the dictionaries ``shown``, a line each; every figure gives one of the study's ``names`` the same."""
    return alt.Color(
        "dictionary:N",
        scale=alt.Scale(domain=shown, range=[SERIES[names.index(name) % len(SERIES)] for name in shown]),
        legend=alt.Legend(title=None, columns=2, symbolType="stroke", symbolStrokeWidth=2),
    )


def present(colours: Mapping[str, str], kinds: Iterable[Any]) -> alt.Scale:
    """Scale of those ``colours`` whose kind is among the rows' ``kinds``; a legend names no other."""
    there = set(kinds)
    shown = {kind: colour for kind, colour in colours.items() if kind in there}
    return alt.Scale(domain=list(shown), range=list(shown.values()))


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def intervals(base: alt.Chart, field: str, axis: alt.Axis, scale: Any = alt.Undefined) -> list[alt.Chart]:
    """A dot at each row's ``field``, on a line from its low to its high."""
    return [
        base.mark_rule(strokeWidth=2, opacity=0.55).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=alt.X(f"{field}:Q", scale=scale, axis=axis)),
    ]


def styled(chart: Any) -> Any:
    """The chart with the common look."""
    return chart.configure(
        font=FONT,
        background=PAPER,
        aria=False,
        padding={"left": 4, "right": 8, "top": 4, "bottom": 4},
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelColor=MUTED, titleColor=MUTED, labelFontSize=11, titleFontSize=11, titleFontWeight="normal",
            gridColor=RULE, domainColor=FAINT, tickColor=FAINT, tickSize=4, titlePadding=8, labelPadding=4,
        ),
        axisY=alt.AxisConfig(domain=False, ticks=False),
        header=alt.HeaderConfig(labelColor=INK, labelFontSize=12, labelFontWeight="bold"),
        legend=alt.LegendConfig(
            labelColor=INK, titleColor=MUTED, labelFontSize=11, titleFontSize=11, titleFontWeight="normal",
            orient="top", direction="horizontal", symbolStrokeWidth=0, labelLimit=300, offset=8, padding=0,
        ),
        title=alt.TitleConfig(color=INK, fontSize=12, fontWeight="bold", anchor="start", frame="group", offset=8),
    )  # fmt: skip


def inline(figure: Figure) -> str:
    """The figure for a page that holds others: identifiers made its own, size left to the style sheet.

    To a screen reader it is one image with a sentence; what the renderer says of each of its parts is left out.
    """
    text = re.sub(r'\bid="', f'id="{figure.name}-', figure.svg)
    text = re.sub(r"url\(#", f"url(#{figure.name}-", text)
    text = re.sub(r' (role|aria-\w+)="[^"]*"', "", text)
    width = re.search(r'width="([\d.]+)"', text)
    assert width  # vl-convert always writes it
    label = escape(figure.sentence)
    own = f'role="img" aria-label="{label}" data-name="{figure.name}" style="max-width:{width[1]}px"'
    return text.replace("<svg ", f"<svg {own} ", 1)
