"""report = metrics.json: every number that the page shows is the one in metrics.json, written the report's way."""

from html.parser import HTMLParser
from typing import Any

from crossdiff.errors import UserError
from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import METRICS, names
from crossdiff.provenance.origins import found as find

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
    for number in shown.numbers:
        one_number(study, number, found)
    if not shown.numbers:
        found.breaks.append(Break(f"{study.name(PAGE)} shows no number of {METRICS}"))
    return found


def one_number(study: Study, shown: dict[str, str], found: Finding) -> None:
    """One number of the page."""
    key = shown["at"].partition("#")[2]
    try:
        key, leaf = find(study.metrics or {}, key)
    except UserError:
        found.breaks.append(Break(f"{study.name(PAGE)} shows {METRICS}#{key}, which {METRICS} does not hold"))
        return
    for part, expected in texts(names(key), leaf, shown["style"]).items():
        if shown[part] and shown[part].strip() != expected:
            what = f"{study.name(PAGE)} shows {shown[part].strip()} for {METRICS}#{key}, which is {expected}"
            found.breaks.append(Break(what, numbers=frozenset([key])))
            return
    found.held += 1


def texts(path: list[str], leaf: Any, style: str) -> dict[str, str]:
    """Value and interval of the leaf at ``path`` as the page writes them."""
    from crossdiff.report.numbers import between, written
    from crossdiff.report.seeds import mean

    found = {"value": written(mean(leaf), style)}
    return found | ({"interval": between(path, leaf, style)} if isinstance(leaf, dict) else {})
