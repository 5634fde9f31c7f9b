"""Put the rows of benchmark files into the marked sections of a page.

python -m benchmarks.training --json build/training.json
python -m benchmarks.tables docs/performance.md build/training.json build/extraction.json

A section runs from `<!-- NAME -->` to `<!-- /NAME -->`; NAME is the file's name without .json.
"""

import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, shown


def markdown(document: dict[str, Any]) -> str:
    """The machine in a line, then a table: one row a number, with all that it is compared with."""
    facts = ", ".join(f"{key} {value}" for key, value in document["machine"].items() if value is not None)
    lines = [facts, "", "| case | subject | metric | median (min–max) | ratio to |", "|---|---|---|---|---|"]
    rows = [Row(**row) for row in document["rows"]]
    for (case, subject, metric), same in groupby(rows, key=lambda row: (row.case, row.subject, row.metric)):
        first, *others = same
        span = f" ({shown(first.low)}–{shown(first.high)})" if shown(first.low) != shown(first.high) else ""
        ratios = "; ".join(f"{shown(row.ratio)} × {row.against}" for row in (first, *others) if row.against)
        lines.append(f"| {case} | {subject} | {metric} | {shown(first.value)}{span} {first.unit} | {ratios} |")
    return "\n".join(lines)


def filled(page: str, name: str, text: str) -> str:
    """The page with a section's content replaced; SystemExit if it has no such section."""
    section = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if not section.search(page):
        raise SystemExit(f"error: the page has no section <!-- {name} --> … <!-- /{name} -->; add one")
    return section.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def main(arguments: list[str]) -> None:
    """Fill the page's sections from the files."""
    if len(arguments) < 2:
        raise SystemExit("usage: python -m benchmarks.tables PAGE FILE.json …")
    page = Path(arguments[0])
    text = page.read_text()
    for file in map(Path, arguments[1:]):
        text = filled(text, file.stem, markdown(json.loads(file.read_text())))
    page.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
