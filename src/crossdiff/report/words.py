"""Pieces of sentences: numbers as words, lists, names; everything put into them is escaped."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

VISIBLE = {"\n": "↵", "\t": "⇥", "\r": "\\r", "\u00a0": "nbsp", "\u200b": "∅", "\ufeff": "∅"}
"""What stands for characters that cannot be seen; pictures of them that few fonts have are avoided."""
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def some(number: int) -> str:
    """How many of several, where no noun follows: none, one, …"""
    return spelled(number) if number else "none"


def spelled(count: int) -> str:
    """Small whole numbers as words."""
    return COUNTS[count] if 0 <= count < len(COUNTS) else f"{count:,}"


def commit(code: Mapping[str, Any]) -> str:
    """The commit of a step's ``code`` in short, marked if the source was changed since."""
    return code["commit"][:10] + (" + changes" if code["dirty"] else "") if code["commit"] else "unknown"


def listed(items: Sequence[str | Markup]) -> Markup:
    """a, b and c."""
    if len(items) < 2:
        return Markup(", ").join(items)
    return Markup("{} and {}").format(Markup(", ").join(items[:-1]), items[-1])


def name(dictionary: str) -> Markup:
    """A dictionary's name, set as code."""
    return Markup("<code>{}</code>").format(dictionary)


def sentence(pattern: str, **parts: Any) -> Markup:
    """A sentence with its parts escaped; the pattern is HTML of our own."""
    return Markup(pattern).format(**parts)


def symbols(text: str) -> Markup:
    """Plain text with Δ_norm, ν_r and ν_ε set as symbols with subscripts."""
    return Markup(re.sub(r"(Δ|ν)_(norm|r|ε)\b", r"\1<sub>\2</sub>", str(escape(text))))


def visible(text: str) -> Markup:
    """Text with its invisible characters drawn."""
    return Markup("").join(
        Markup('<span class="v">{}</span>').format(VISIBLE[letter]) if letter in VISIBLE else letter for letter in text
    )
