"""Several studies beside one another on one page: pairs, settings, or the same study at two commits.

Every number is read from a study's metrics.json and printed with its interval; a mark says where the intervals of two
studies do not meet. Nothing is computed anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crossdiff.errors import UserError
from crossdiff.provenance.audit.configured import at, different
from crossdiff.provenance.compare import Side, apart
from crossdiff.report.figures.studies import studies
from crossdiff.report.figures.theme import inline
from crossdiff.report.names import WHOLE
from crossdiff.report.numbers import MISSING, span, written
from crossdiff.report.page import css
from crossdiff.report.seeds import Leaf, mean
from crossdiff.report.words import symbols

Path = tuple[str, ...]


@dataclass(frozen=True)
class Quantity:
    """A number that studies are compared by."""

    title: str
    path: Path
    """Under a dictionary, or from the root of metrics.json."""
    style: str
    others: tuple[Path, ...] = ()
    """What is shown of a study that has none there: the first it has."""


OF_A_PAIR = (
    Quantity("share of the difference in the variance", ("pair", "difference_share", "overall"), "percent"),
    Quantity("KL of base's stream in chat, nats a token", ("pair", "kl", "kl", "all", "none"), "nats"),
    Quantity("KL gap closed by template tokens alone", ("pair", "kl", "kl_recovered", "all", "template"), "percent"),
    Quantity("KL gap closed by principal components", ("pair", "kl", "kl_recovered", "all", "components"), "percent"),
    Quantity("training tokens", ("pair", "tokens", "train"), "count"),
)
CLOSED = tuple(("kl_recovered", "all", whole) for whole in WHOLE)
OF_A_DICTIONARY = (
    Quantity("FVE", ("fve", "pooled"), "share"),
    Quantity("L0", ("l0",), "number"),
    Quantity("dead", ("dead",), "percent"),
    Quantity("chat-only by Δ_norm", ("classes", "chat-only"), "count"),
    Quantity("chat-specific by ν_r and ν_ε", ("chat_specific", "reconstruction_and_error"), "count"),
    Quantity("called chat-specific", ("calls", "counts", "calibrated", "chat-specific"), "count"),
    Quantity("KL gap closed", CLOSED[0], "percent", CLOSED[1:]),
    Quantity("answers shifted by removal", ("behaviours_found", "remove"), "count"),
    Quantity("answers shifted by addition", ("behaviours_found", "add"), "count"),
)


@dataclass(frozen=True)
class Row:
    """One quantity in all studies."""

    title: Markup
    cells: list[Markup]
    apart: bool
    """Whether the intervals of some two studies do not meet."""


def comparison(sides: Sequence[Side]) -> str:
    """The page; UserError for fewer than two studies or two of the same name."""
    names = [side.name for side in sides]
    if len(sides) < 2:
        raise UserError("name at least two folders results/<pair> to compare")
    if len(set(names)) < len(names):
        raise UserError(f"two of the studies are called the same ({', '.join(names)}); give folders of different names")
    environment = Environment(
        loader=PackageLoader("crossdiff.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("comparison.html.j2").render(
        names=names,
        figures=[Markup(inline(found)) for stacked in (False, True) if (found := studies(sides, stacked))],
        pair=rows(sides, OF_A_PAIR, ()),
        dictionaries={name: rows(sides, OF_A_DICTIONARY, ("dictionaries", name)) for name in dictionaries(sides)},
        settings=list(settings(sides)),
        commits=[", ".join(commit[:10] for commit in side.commits) for side in sides],
        css=css(),
    )


def dictionaries(sides: Sequence[Side]) -> list[str]:
    """Names of all dictionaries, in the order of the studies."""
    return list(dict.fromkeys(name for side in sides for name in side.dictionaries))


def rows(sides: Sequence[Side], quantities: Sequence[Quantity], above: Path) -> list[Row]:
    """Those quantities that some study has."""
    found = []
    for quantity in quantities:
        keys = ["/" + "/".join((*above, *path)) for path in (quantity.path, *quantity.others)]
        leaves = [next((side.numbers[key] for key in keys if key in side.numbers), None) for side in sides]
        if any(leaf is not None for leaf in leaves):
            far = any(apart(one, other) for number, one in enumerate(leaves) for other in leaves[number + 1 :])
            found.append(Row(symbols(quantity.title), [cell(leaf, quantity.style) for leaf in leaves], far))
    return found


def cell(leaf: Leaf | None, style: str) -> Markup:
    """Value and interval."""
    if leaf is None:
        return MISSING
    text = Markup("<b>{}</b>").format(written(mean(leaf), style))
    if isinstance(leaf, dict) and leaf["low"] < leaf["high"]:
        text += Markup(' <i class="ci">{}</i>').format(span(leaf, style))
    return text


def settings(sides: Sequence[Side]) -> Iterator[tuple[str, list[str]]]:
    """Settings that are not the same in all studies: where they stand, and the value in each."""
    first, *others = sides
    paths = [path for other in others for path in different(first.config, other.config)]
    for path in dict.fromkeys(paths):
        yield ".".join(path), [told(at(side.config, path)) for side in sides]


def told(value: Any) -> str:
    """A setting as text."""
    return "–" if value is None else str(value)
