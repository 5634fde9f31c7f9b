"""The latents themselves, to search, sort and read."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from crossdiff.evidence.calls.honesty import CALLS
from crossdiff.report.explorer.data import document
from crossdiff.report.explorer.payload import fitted
from crossdiff.report.limits import tune
from crossdiff.report.section import Context, Section

COLUMNS = {
    "rank": ("place", "place in its dictionary and seed: chat-specific by ν first, then by |ν|"),
    "frequency": ("frequency", "share of held-out tokens it is active on"),
    "ν": ("nu_activation", "how much the base follows its direction, as a share of how much chat does"),
    "q": ("q", "lowest false discovery rate at which it is called what it is called, else chat-specific"),
    "seeds": ("reappears", "in how many of the other seeds it has a match: each the other's nearest"),
}
"""Heads of the list's columns, the table's column of each, and what it says."""


def section(context: Context) -> Section:
    """Controls and data; the page's script fills them."""
    text, data = fitted(document(context.study))
    table = data["table"]
    called = [row for row, call in enumerate(table["call"]) if call in CALLS]
    upheld = [row for row in called if table["upheld"][row]]
    return Section(
        id="explorer",
        title="Latent explorer",
        question="What are these latents?",
        html=context.render(
            "explorer.html.j2",
            data=text,
            count=len(table["latent"]),
            called=len(called),
            calls=kinds(table, called),
            upheld=kinds(table, upheld) if known(table, "upheld") else None,
            agreed=any(call in CALLS for call in table["agreed"]),
            tune=tune(context.study),
            left_out=sum(data["examples"][row] is None for row in called),
            found_classes=sorted({kind for kind in table["kind"] if kind}),
            behaviours=sorted({name for use in data["behaviours"] for name in use}),
            columns={name: title for name, (column, title) in COLUMNS.items() if known(table, column)},
        ),
    )


def kinds(table: dict[str, Sequence[Any]], rows: Sequence[int]) -> dict[str, int]:
    """How many of ``rows`` are called what; calls of none are left out."""
    found = Counter(table["call"][row] for row in rows)
    return {call: found[call] for call in CALLS if found[call]}


def known(table: dict[str, Sequence[Any]], column: str) -> bool:
    """Whether any latent has a value in a column."""
    return any(value is not None for value in table.get(column, ()))
