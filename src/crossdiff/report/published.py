"""What the published study reports of its own pairs, with how well each number is known.

The numbers stand in published.yaml; `published` gives those of a pair, `beside` sets them beside those of a study.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import yaml

Grade = Literal["C", "H", "Q", "S", "U"]
GRADES: dict[str, str] = {
    "C": "in the study's code",
    "H": "in the history of the study's repository",
    "Q": "quoted from the paper or the post",
    "S": "in a secondary summary only",
    "U": "unverified",
}


@dataclass(frozen=True, kw_only=True)
class Number:
    """One published number."""

    quantity: str
    """What it measures, in words."""
    grade: Grade
    """How it is known; `GRADES` has the words."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    """A range, where no single number is known."""
    dictionary: str | None = None
    """Which of the study's dictionaries it is of; None for the pair itself."""
    key: str | None = None
    """Entry of metrics.json that measures the same; below `dictionaries.<name>` if it is of a dictionary."""
    about: bool = False
    """Whether it is given as a round figure."""
    note: str | None = None

    def path(self) -> tuple[str, ...]:
        """Where the same quantity stands in metrics.json; () if it does not."""
        if self.key is None:
            return ()
        return (*(("dictionaries", self.dictionary) if self.dictionary else ()), *self.key.split("."))


class Beside(NamedTuple):
    """A published number and what this study obtained."""

    published: Number
    obtained: Any
    """A number, {mean, low, high, n}, or None where the study has no counterpart."""


@cache
def _all() -> dict[tuple[str, str], tuple[Number, ...]]:
    text = files("crossdiff.report").joinpath("published.yaml").read_text(encoding="utf-8")
    return {(pair["base"], pair["chat"]): tuple(Number(**n) for n in pair["numbers"]) for pair in yaml.safe_load(text)}


def published(base: str | None, chat: str | None) -> tuple[Number, ...]:
    """The numbers of a pair, by the hub ids of its models; () for a pair that the study does not report."""
    return _all().get((base or "", chat or ""), ())


def beside(numbers: tuple[Number, ...], metrics: Mapping[str, Any]) -> list[Beside]:
    """Each number with its counterpart in metrics.json, if there is one."""
    return [Beside(number, _at(metrics, number.path())) for number in numbers]


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    """A leaf of nested numbers; keys such as `activation_0.3` hold dots themselves, and none of ours does."""
    if not path:
        return None
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    return tree
