"""report = metrics.json: every number that the page shows is the one in metrics.json, written the report's way."""

from html.parser import HTMLParser
from typing import Any

from crossdiff.errors import UserError
from crossdiff.provenance.addresses import found as find
from crossdiff.provenance.addresses import opened
from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import METRICS, leaves, names

PAGE = "report/report.html"


class Shown(HTMLParser):
    """Collects (address, style, text of the value, text of the interval) of every number on the page."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[dict[str, str]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if given.get("data-src", "").startswith(f"{METRICS}#") and "data-style" in given:
            self.numbers.append({"at": given["data-src"], "style": given["data-style"], "value": "", "interval": ""})
            self._open = [tag]
        elif self._open:
            self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            part = {"b": "value", "i": "interval"}.get(self._open[-1])
            if part:
                self.numbers[-1][part] += data

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[-1]:
            self._open.pop()


def check(study: Study) -> Finding:
    """Compare the page's numbers with metrics.json. Prose and figures are covered by their hashes only."""
    found = Finding()
    try:
        text = (study.root / PAGE).read_text()
    except (OSError, ValueError) as error:
        found.breaks.append(Break(f"{study.name(PAGE)} cannot be read: {error}"))
        return found
    shown = Shown()
    shown.feed(text)
    metrics = opened(study.metrics or {})
    for number in shown.numbers:
        one_number(study, metrics, number, found)
    if not shown.numbers:
        found.breaks.append(Break(f"{study.name(PAGE)} shows no number of {METRICS}"))
    return found


def one_number(study: Study, metrics: dict[str, Any], shown: dict[str, str], found: Finding) -> None:
    """One number of the page."""
    key = shown["at"].partition("#")[2]
    try:
        key, leaf = find(metrics, key, METRICS)
    except UserError:
        found.breaks.append(Break(f"{study.name(PAGE)} shows {METRICS}#{key}, which {METRICS} does not hold"))
        return
    for part, expected in texts(names(key), leaf, shown["style"]).items():
        if shown[part] and shown[part].strip() != expected:
            what = f"{study.name(PAGE)} shows {shown[part].strip()} for {METRICS}#{key}, which is {expected}"
            found.breaks.append(Break(what, numbers=frozenset([whole(study.metrics or {}, key)])))
            return
    found.held += 1


def whole(metrics: dict[str, Any], key: str) -> str:
    """The number of metrics.json that the value at a pointer is, or is a part of."""
    return next(pointer for pointer, _ in leaves(metrics) if f"{key}/".startswith(f"{pointer}/"))


def texts(path: list[str], leaf: Any, style: str) -> dict[str, str]:
    """Value and interval of the leaf at ``path`` as the page writes them."""
    from crossdiff.report.numbers import between, written
    from crossdiff.report.seeds import mean

    found = {"value": written(mean(leaf), style)}
    return found | ({"interval": between(path, leaf, style)} if isinstance(leaf, dict) else {})
