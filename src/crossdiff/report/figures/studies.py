"""Figure of the comparison page: what each dictionary does in each study, side by side."""

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from crossdiff.provenance.compare import Side
from crossdiff.report import names
from crossdiff.report.figures.theme import INK, SERIES, Figure, data, intervals
from crossdiff.report.seeds import ends, mean

PANELS = {"closed": ("share of the KL gap closed", "%"), "called": ("latents called chat-specific", ",~g")}
"""Title of each panel's axis, and the format of its numbers."""
UNDICTIONARIED = {"template": "template tokens alone", "components": "principal components"}


def studies(sides: Sequence[Side], stacked: bool) -> Figure | None:
    """A panel for the KL gap closed and one for the calls, a row for each dictionary; None without numbers."""
    rows = list(values(sides))
    panels = [panel(rows, name, [side.name for side in sides], stacked) for name in PANELS]
    found = [each for each in panels if each is not None]
    if not found:
        return None
    return Figure(
        name="studies-narrow" if stacked else "studies",
        title="The studies side by side",
        chart=alt.vconcat(*found, spacing=18) if stacked else alt.hconcat(*found, spacing=30),
        text="Share of the KL gap closed and latents called chat-specific by each dictionary in each study, with 95 %"
        " intervals.",
        files=tuple(f"{side.name}/metrics.json" for side in sides),
    )


def values(sides: Sequence[Side]) -> Iterator[dict[str, Any]]:
    """Rows: study, panel, subject, value and its interval."""
    for side in sides:
        for subject, panel_, key in asked(side):
            if key in side.numbers:
                low, high = ends(side.numbers[key])
                yield {"study": side.name, "panel": panel_, "subject": subject, "value": mean(side.numbers[key]),
                       "low": low, "high": high}  # fmt: skip


def asked(side: Side) -> Iterator[tuple[str, str, str]]:
    """(subject, panel, pointer of its number) for every dictionary of a study, and for what needs none."""
    for name in side.dictionaries:
        above = f"/dictionaries/{name}"
        for whole in names.WHOLE:
            if f"{above}/kl_recovered/all/{whole}" in side.numbers:
                yield name, "closed", f"{above}/kl_recovered/all/{whole}"
                break
        yield name, "called", f"{above}/calls/counts/calibrated/chat-specific"
    for rival, words in UNDICTIONARIED.items():
        yield words, "closed", f"/pair/kl/kl_recovered/all/{rival}"


def panel(rows: Sequence[dict[str, Any]], name: str, studies_: list[str], stacked: bool) -> Any:
    """One panel; None if no study has its numbers."""
    shown = [row for row in rows if row["panel"] == name]
    if not shown:
        return None
    title, written = PANELS[name]
    scale = alt.Scale(domainMin=min([0.0, *(row["low"] for row in shown)]), nice=True)
    y = alt.Y(
        "subject:N",
        sort=list(dict.fromkeys(row["subject"] for row in shown)),
        axis=alt.Axis(title=None, labelColor=INK, labelFontSize=12, labelLimit=220),
        scale=alt.Scale(paddingInner=0.35),
    )
    colours = [SERIES[place % len(SERIES)] for place in range(len(studies_))]
    colour = alt.Color(
        "study:N",
        sort=studies_,
        scale=alt.Scale(domain=studies_, range=colours),
        legend=alt.Legend(title=None, symbolOpacity=1, columns=1 if stacked else 3),
    )
    base = alt.Chart(data(shown)).encode(y=y, yOffset=alt.YOffset("study:N", sort=studies_), color=colour)
    axis = alt.Axis(title=title, format=written, tickCount=5)
    dots = alt.layer(*intervals(base, "value", axis, scale))
    return dots.properties(width=220 if stacked else 300, height=alt.Step(16))
