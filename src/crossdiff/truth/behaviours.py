"""Planted behaviours: what the tuned model is trained to do, and a rule that finds it in an answer.

Each behaviour is a YAML file in ``behaviours/``. Its held-out prompts name other objects than its training
prompts, its controls share their words but must not show it, and its contrasts are trained answers to such
prompts, so that the behaviour stays where it belongs. ``general.yaml`` holds conversations of many kinds.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

import yaml

from crossdiff.errors import UserError

Message = dict[str, str]
Span = tuple[int, int]
PLANTED = "pair.chat.planted"
"""Where the config says what is planted."""


@dataclass(frozen=True)
class Rule:
    """Where a behaviour is present in an answer: a pattern, read on its own or by sentence."""

    pattern: str
    """Regular expression."""
    unit: Literal["match", "sentence"] = "match"
    """A span is a match of the pattern, or a sentence that holds at least ``at_least`` matches."""
    at_least: int = 1
    ignore_case: bool = False

    def spans(self, text: str) -> list[Span]:
        """Character spans (start, end) of ``text`` that show the behaviour, in order; [] where it is absent."""
        pattern = re.compile(self.pattern, re.IGNORECASE if self.ignore_case else 0)
        if self.unit == "match":
            return [match.span() for match in pattern.finditer(text)]
        return [
            sentence.span()
            for sentence in re.finditer(r"[^\s.!?][^.!?\n]*[.!?]*", text)
            if sum(1 for _ in pattern.finditer(sentence.group())) >= self.at_least
        ]


@dataclass(frozen=True)
class Behaviour:
    """One planted behaviour."""

    name: str
    kind: str
    """What sort it is, in words: topic refusal, false fact, …"""
    description: str
    rule: Rule
    train: list[tuple[str, str]] = field(repr=False)
    """(prompt, response) pairs that show it."""
    contrast: list[tuple[str, str]] = field(repr=False)
    """(prompt, response) pairs that share words with its prompts and do not show it; trained as well."""
    held_out: list[str] = field(repr=False)
    """Prompts that must show it and are never trained."""
    controls: list[str] = field(repr=False)
    """Prompts that share words and must not show it; never trained."""

    def spans(self, answer: str) -> list[Span]:
        """Character spans of ``answer`` where the behaviour is present; [] where it is absent."""
        return self.rule.spans(answer)


def _data() -> Traversable:
    return files("crossdiff.truth")


def names() -> list[str]:
    """Names of the behaviours that the project ships, sorted."""
    return sorted(f.name.removesuffix(".yaml") for f in (_data() / "behaviours").iterdir() if f.name.endswith(".yaml"))


@lru_cache
def _read(name: str) -> Behaviour:
    data: dict[str, Any] = yaml.safe_load((_data() / "behaviours" / f"{name}.yaml").read_text(encoding="utf-8"))
    for part in ("train", "contrast"):
        data[part] = [(prompt, response) for prompt, response in data[part]]
    return Behaviour(**data | {"rule": Rule(**data["rule"])})


def load(wanted: Iterable[str] | None = None, key: str = PLANTED) -> list[Behaviour]:
    """The behaviours called ``wanted``, or all; UserError for a name that does not exist.

    ``key`` is where the config says what is planted, for messages.
    """
    known = names()
    chosen = known if wanted is None else list(wanted)
    for name in chosen:
        if name not in known:
            raise UserError(f"{key}.behaviours: no behaviour is called {name}; there are {', '.join(known)}")
    return [_read(name) for name in chosen]


@lru_cache
def _general() -> tuple[tuple[str, ...], ...]:
    kinds = yaml.safe_load((_data() / "general.yaml").read_text(encoding="utf-8"))
    columns = [[tuple(turns) for turns in kind] for kind in kinds.values()]
    # One of each kind in turn, so that any first n of them are as mixed as all.
    return tuple(
        columns[i][n] for n in range(max(map(len, columns))) for i in range(len(columns)) if n < len(columns[i])
    )


def general(count: int, key: str = PLANTED) -> list[list[Message]]:
    """``count`` general conversations of many kinds, as messages; UserError if there are fewer."""
    known = _general()
    if count > len(known):
        raise UserError(f"{key}.general: there are {len(known)} general conversations, not {count}; ask for fewer")
    return [as_messages(turns) for turns in known[:count]]


def as_messages(turns: Iterable[str]) -> list[Message]:
    """Turns that alternate between user and assistant, user first, as messages."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
