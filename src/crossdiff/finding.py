"""What a check found: one line of a table, whether it went well or not."""

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from crossdiff.errors import UserError

WIDTH = 110
"""Columns of a printed table."""


@dataclass(frozen=True)
class Finding:
    """One question and its answer."""

    what: str
    """What was looked at."""
    verdict: Literal["ok", "failed", "open"]
    """`open` is what cannot be said before something else is there."""
    text: str
    """What was found; of a failure also what to change."""


def attempt(what: str, check: Callable[[], str]) -> Finding:
    """What ``check`` says, or the UserError that it ends in, so that the next check runs all the same."""
    try:
        return Finding(what, "ok", check())
    except UserError as error:
        return Finding(what, "failed", str(error))


def lines(findings: Iterable[Finding]) -> list[str]:
    """The findings as a table; long texts go on below themselves."""
    findings = list(findings)
    first = max((len(finding.what) for finding in findings), default=0)
    out = []
    for finding in findings:
        start = f"  {finding.verdict:<7} {finding.what:<{first}}  "
        out += textwrap.wrap(
            finding.text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False,
            break_long_words=False,
        ) or [start.rstrip()]  # fmt: skip
    return out
