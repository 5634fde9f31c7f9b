"""Figures of the KL experiment, drawn from metrics.json."""

from collections.abc import Iterator
from typing import Any

import altair as alt

from crossdiff.report import names
from crossdiff.report.collect import Study
from crossdiff.report.figures.theme import (
    BASE,
    CHAT,
    FAINT,
    INK,
    MUTED,
    OTHER,
    PALE,
    SHARED,
    TOP,
    Figure,
    data,
    intervals,
    present,
)
from crossdiff.report.seeds import Tree, ends, mean

PARTS = {"whole dictionary": INK, "latents first by ν": CHAT, "random set of as many": FAINT}
"""What of a dictionary the main figure shows, and in which colour."""
KINDS = {
    "no dictionary": FAINT,
    "whole dictionary": INK,
    "first": CHAT,
    "last": PALE,
    "random": OTHER,
    "error": SHARED,
}

OTHER_TOP = ("base", "chat-to-base")
"""What runs through the base's upper blocks: often so far off that bars on its scale would hide all the others."""
FAR = 1.5
"""How many times as far as the rest that is: then the axis ends with the rest, and its bars are cut."""


def recovered(study: Study, metrics: Tree, stacked: bool) -> Figure:
    """The main figure: share of the KL gap that each dictionary closes, at all tokens and at the first nine."""
    shown = [positions for positions in names.MAIN_POSITIONS if positions in metrics["pair"]["kl"]["kl"]]
    panels = [panel(study, metrics, positions, stacked, labels=stacked or positions == shown[0]) for positions in shown]
    chart = alt.vconcat(*panels, spacing=18) if stacked else alt.hconcat(*panels, spacing=26)
    return Figure(
        name="kl-recovered-narrow" if stacked else "kl-recovered",
        title="Share of the KL gap closed",
        chart=chart,
        text="Share of the KL gap between base and chat stream closed by each dictionary, with 95 % intervals.",
        files=("metrics.json#/dictionaries/*/kl_recovered", "metrics.json#/pair/kl/kl_recovered"),
    )


def panel(study: Study, metrics: Tree, positions: str, stacked: bool, labels: bool) -> Any:
    """One panel of the main figure, with or without the dictionaries' names."""
    rows = list(shares(metrics, positions))
    low = min([0.0, *(row["low"] for row in rows)])
    scale = alt.Scale(domain=[max(low, -1.0), max(1.0, *(row["high"] for row in rows))], nice=False, clamp=True)
    axis = alt.Axis(title="share of the KL gap closed", format="%", tickCount=5)
    y = alt.Y(
        "dictionary:N",
        sort=study.names,
        axis=alt.Axis(title=None, labels=labels, labelColor=INK, labelFontSize=12, labelLimit=220),
        scale=alt.Scale(paddingInner=0.35),
    )
    offset = alt.YOffset("part:N", sort=list(PARTS))
    colour = alt.Color(
        "part:N",
        sort=list(PARTS),
        scale=present(PARTS, (row["part"] for row in rows)),
        legend=alt.Legend(title=None, symbolOpacity=1, columns=2 if stacked else 3),
    )
    base = alt.Chart(data(rows)).encode(y=y, yOffset=offset, color=colour)
    layers = intervals(base, "share", axis, scale)
    lines, labels_ = undictionaried(metrics, positions, scale)
    return alt.layer(*lines, *layers, *labels_).properties(
        width=360 if not stacked else 220,
        height=alt.Step(16),
        title=alt.Title(names.POSITIONS[positions].capitalize(), offset=30),
    )


def undictionaried(metrics: Tree, positions: str, scale: Any) -> tuple[list[Any], list[Any]]:
    """Dashed lines at the shares that need no dictionary, and what they are, one above the other."""
    found = metrics["pair"]["kl"]["kl_recovered"].get(positions, {})
    words = names.undictionaried(metrics["pair"].get("components", 0))
    lines, labels = [], []
    for height, (name, text) in zip((-6, -18), words.items(), strict=True):
        if name not in found:
            continue
        share = mean(found[name])
        side: dict[str, Any] = {"align": "right", "dx": -5} if share > 0.6 else {"align": "left", "dx": 5}
        mark = alt.Chart(data([{"share": share, "text": text}])).encode(x=alt.X("share:Q", scale=scale))
        lines.append(mark.mark_rule(color=BASE, strokeDash=[4, 3], strokeWidth=1.5))
        labels.append(mark.mark_text(color=BASE, y=height, fontSize=11, **side).encode(text="text:N"))
    return lines, labels


def shares(metrics: Tree, positions: str) -> Iterator[dict[str, Any]]:
    """Rows of the main figure: dictionary, part, share and its interval."""
    for name, tree in metrics["dictionaries"].items():
        table = tree["kl_recovered"].get(positions, {})
        for part, intervention in zip(PARTS, (names.whole(table), "best-nu", "random"), strict=True):
            if intervention in table:
                low, high = ends(table[intervention])
                yield {"dictionary": name, "part": part, "share": mean(table[intervention]), "low": low, "high": high}


def nats(metrics: Tree, positions: str) -> Figure:
    """Every intervention at one kind of position, in nats a token."""
    rows = list(levels(metrics, positions))
    groups = list(dict.fromkeys(row["group"] for row in rows))
    known = names.ordered(list({row["intervention"] for row in rows}))
    order = list(dict.fromkeys(row["label"] for row in sorted(rows, key=lambda row: known.index(row["intervention"]))))
    highest = max(row["high"] for row in rows)
    rest = max((row["high"] for row in rows if row["intervention"] not in OTHER_TOP), default=highest)
    end = 1.05 * (rest if highest > FAR * rest else highest)
    axis = alt.Axis(title="KL to the chat model, nats a token", tickCount=4)
    x = alt.X("kl:Q", scale=alt.Scale(domain=[0, end], nice=False), axis=axis)
    y = alt.Y("label:N", sort=order, axis=alt.Axis(title=None, labelLimit=240))
    colour = alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values())), legend=None)
    base = alt.Chart().encode(y=y)
    beyond = base.transform_filter(alt.datum.kl > end).transform_calculate(told="'→ ' + format(datum.kl, '.2f')")
    layers = alt.layer(
        base.mark_bar(height={"band": 0.62}, clip=True).encode(x=x, color=colour),
        base.mark_rule(color=MUTED, strokeWidth=1.5, clip=True).encode(x="low:Q", x2="high:Q"),
        beyond.mark_text(color=INK, align="left", dx=4).encode(x=alt.value("width"), text="told:N"),
        data=data(rows),
    ).properties(width=160, height=alt.Step(17))
    chart = layers.facet(row=alt.Row("group:N", sort=groups, header=TOP), spacing=10).resolve_scale(y="independent")
    return Figure(
        name=f"kl-{positions}",
        title=names.POSITIONS[positions].capitalize(),
        chart=chart,
        text=f"KL to the chat model under each intervention, {names.POSITIONS[positions]}, with 95 % intervals."
        + (" Bars that leave the frame tell their value." if any(row["kl"] > end for row in rows) else ""),
        files=("metrics.json#/dictionaries/*/kl", "metrics.json#/pair/kl/kl", "metrics.json#/dictionaries/*/patched"),
    )


def levels(metrics: Tree, positions: str) -> Iterator[dict[str, Any]]:
    """Rows of the full figure: group, intervention, label, kind, kl and its interval."""
    groups = {
        "no dictionary": metrics["pair"]["kl"]["kl"],
        **{name: tree["kl"] for name, tree in metrics["dictionaries"].items()},
    }
    for group, tree in groups.items():
        table = tree.get(positions, {})
        for name in names.ordered(list(table)):
            low, high = ends(table[name])
            yield {
                "group": group,
                "intervention": name,
                "label": names.intervention(name) + size(metrics, group, name),
                "kind": group if group in KINDS else kind(name),
                "kl": mean(table[name]),
                "low": low,
                "high": high,
            }


def size(metrics: Tree, dictionary: str, intervention: str) -> str:
    """How many latents a set has, mean over seeds, or principal components there are; nothing for a whole."""
    if intervention == "components":
        return f" ({metrics['pair'].get('components', 0)})"
    found = metrics["dictionaries"].get(dictionary, {}).get("patched", {}).get(intervention)
    some = intervention.startswith(("delta-", "nu-", "best-", "worst-", "opposite-", "random"))
    return f" ({mean(found):,.0f})" if some and found is not None else ""


def kind(intervention: str) -> str:
    """Colour group of an intervention."""
    if intervention in names.WHOLE:
        return "whole dictionary"
    groups = {"best": "first", "delta": "first", "nu": "first", "worst": "last"}
    return (groups | {"opposite": "last", "random": "random"}).get(intervention.split("-")[0], "error")
