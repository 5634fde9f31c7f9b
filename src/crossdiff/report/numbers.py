"""How a number is printed, once for the whole page: from metrics.json, with its path, to a piece of HTML."""

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from crossdiff.provenance.origins import METRICS, pointer
from crossdiff.report.seeds import Leaf, Tree, ends, mean

MISSING = Markup('<span class="missing" title="not measured">–</span>')


def written(value: float, style: str) -> str:
    """A number as text. Styles: share 0.792, percent 8.7 %, count 1,234 or 23.5, nats 1.690, change −0.42, seconds,
    bytes 3.5 GB.
    """
    if math.isnan(value):
        return "–"
    if style == "percent":
        return f"{signed(100 * value, digits(100 * value, 2))} %"
    if style == "count":
        return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.1f}"
    if style == "seconds":
        return f"{value:,.0f} s" if value >= 10 else f"{value:.1f} s"
    if style == "bytes":
        return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
    if style == "change":
        return signed(value, 2)
    return signed(value, {"share": 3, "nats": 3}.get(style, digits(value, 3)))


def pointed(address: str, text: Any) -> Markup:
    """A number that metrics.json does not hold, or words for one, with its address as ``FILE#KEY``."""
    return Markup('<span class="n" tabindex="0" data-src="{}">{}</span>').format(address, text)


def setting(text: Any, *path: str) -> Markup:
    """A number that the config sets, with its address in the record of the page, which holds the whole config."""
    return pointed(f"report/run.json#{pointer('params', *path)}", text)


def digits(value: float, significant: int) -> int:
    """Decimals that show ``significant`` digits of a number below 100, none from there on; three at most."""
    if value == 0:
        return 0
    return min(3, max(0, significant - 1 - math.floor(math.log10(abs(value)))))


def signed(value: float, decimals: int) -> str:
    """Fixed decimals, a true minus sign, no negative zero."""
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


class Numbers:
    """Looks numbers up by path in the tree of metrics.json and prints them with their address."""

    def __init__(self, metrics: Tree) -> None:
        self.metrics = metrics

    def leaf(self, *path: str) -> Leaf | None:
        """The leaf at ``path``; None if there is none."""
        node: Any = self.metrics
        for name in path:
            if isinstance(node, list):
                node = {str(number): item for number, item in enumerate(node)}
            if not isinstance(node, dict) or name not in node:
                return None
            node = node[name]
        return node

    def value(self, *path: str) -> float | None:
        """The point value at ``path``."""
        leaf = self.leaf(*path)
        return None if leaf is None else mean(leaf)

    def show(self, *path: str, style: str = "share", interval: bool = True) -> Markup:
        """Value and interval of a leaf as HTML that names its file and key; a dash if it was not measured."""
        leaf = self.leaf(*path)
        if leaf is None:
            return MISSING
        key = address(*path)
        text = Markup('<span class="n" tabindex="0" data-src="{}" data-style="{}" data-hint="{}"><b>{}</b>').format(
            key, style, self.hint(leaf, path, style), written(mean(leaf), style)
        )
        if interval and isinstance(leaf, dict) and leaf["low"] < leaf["high"]:
            text += Markup(' <i class="ci">{}</i>').format(between(path, leaf, style))
        return text + Markup("</span>")

    def words(self, text: Any, *path: str) -> Markup:
        """Words for a number, or for what is counted, with its address."""
        return pointed(address(*path), text)

    def brief(self, *path: str, style: str) -> Markup:
        """A number without its interval."""
        return self.show(*path, style=style, interval=False)

    def point(self, path: tuple[str, ...]) -> float:
        """Point value of a leaf that is there."""
        leaf = self.leaf(*path)
        if leaf is None:
            raise KeyError(path)
        return mean(leaf)

    def hint(self, leaf: Leaf, path: tuple[str, ...], style: str) -> str:
        """What a pointer held over the number is told."""
        value = mean(leaf)
        parts = [] if float(value).is_integer() else [f"{value:.6g} in the file"]
        if isinstance(leaf, dict):
            what = "both values:" if of_two(path, leaf) else "95 % interval"
            parts.append(f"{what} {span(leaf, style)}, n = {leaf['n']}")
        if path[0] == "dictionaries" and isinstance(seeds := self.metrics["dictionaries"][path[1]].get("seeds"), dict):
            values = {seed: self.leaf("dictionaries", path[1], "seeds", seed, *path[2:]) for seed in seeds}
            parts += [
                f"seed {seed}: {written(value, style)}"
                for seed, value in values.items()
                if isinstance(value, int | float)
            ]
        return " · ".join(parts)


def between(path: Sequence[str], leaf: Leaf, style: str) -> str:
    """The interval of the number at ``path`` as the page writes it; of two values both."""
    return span(leaf, style).replace("–", " and ") if of_two(path, leaf) else span(leaf, style)


def of_two(path: Sequence[str], leaf: Leaf) -> bool:
    """Whether both values, of two synthetic pairs or held-out seeds, stand in place of an interval (`seeds.few`)."""
    return path[0] in ("synthetic", "calibration") and isinstance(leaf, dict) and leaf["n"] == 2


def address(*path: str) -> str:
    """File and JSON pointer (RFC 6901) of a number."""
    return f"{METRICS}#{pointer(*path)}"


def span(leaf: Leaf, style: str) -> str:
    """Both ends of an interval: 0.78–0.80; "to" where a minus sign would make the dash hard to read."""
    low, high = (written(round(end) if style == "count" else end, style) for end in ends(leaf))
    unit = " %" if style == "percent" else ""
    low = low.removesuffix(unit)
    return f"{low} to {high}" if "−" in low + high else f"{low}–{high}"
