"""One short phrase for each live latent, built by rule from what was counted: no model judges anything."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import torch

from crossdiff.attribution.contexts import BROADER, PLACES, OverRepresented, Rows, over_represented
from crossdiff.attribution.measure import Measured

LEAST_Z = 3.0
"""Tokens below it are not told apart from chance."""
LEAST_VOTES = 2
"""Rows in which a token must stand at the maximum, or before it."""
LEAST_CONTEXT = 1 / 3
"""Share of the rows in which a context must stand to be in the phrase."""
LEAST_PLACE = 0.5
"""Share of the maxima in one part of the text for the phrase to say so."""
KEPT = 5
"""Tokens kept in the table, of each kind."""
NAMED = 3
"""Tokens named in a phrase, of each kind."""
INVISIBLE = {"\n": "↵", "\t": "⇥", "\r": "\\r"}
WHERE = {
    "bos": "at a row's start",
    "template": "in the template",
    "user": "in the user's message",
    "assistant": "in the assistant's answer",
    "text": "in plain text",
    "before-answer": "on the template's last token before the answer",
    "answer-start": "on the assistant's first token",
}
SPOKEN = {"user", "assistant", "text"}
"""Parts of the text whose context is not given by the template."""
TABLE: dict[str, Any] = {
    "latent": pl.UInt32, "description": pl.String, "rows": pl.UInt8, "place": pl.String, "place_share": pl.Float32,
    **{name + ending: pl.List(kind) for name in ("tokens", "before")
       for ending, kind in (("", pl.String), ("_share", pl.Float32), ("_z", pl.Float32))},
}  # fmt: skip


@dataclass
class Facts:
    """What was counted of one latent."""

    rows: int
    """Rows whose maximum was looked at."""
    place: str
    """Part of the text of most maxima."""
    place_share: float
    tokens: list[tuple[str, float, float]] = field(default_factory=list)
    """(text, share of the rows, z) of over-represented tokens at the maxima, most so first."""
    before: list[tuple[str, float, float]] = field(default_factory=list)
    """The same of the tokens before them; the share is of rows."""
    promoted: list[str] = field(default_factory=list)
    """Those of the tokens that its direction promotes in chat that read as words."""


def phrase(facts: Facts) -> str:
    """"fires on 'x', 'y' after 'z', in the assistant's answer; promotes 'w'"."""  # fmt: skip
    if facts.rows < LEAST_VOTES:
        text = f"fires in one row only, {WHERE[facts.place]}"
    else:
        text = f"fires on {quoted(token for token, _, _ in facts.tokens)}" if facts.tokens else "fires on varied tokens"
        context = [token for token, share, _ in facts.before if share >= LEAST_CONTEXT]
        if context and facts.place in SPOKEN:
            text += f" after {quoted(context[:1])}"
        if facts.place_share >= LEAST_PLACE:
            text += f", {WHERE[facts.place]}"
    return f"{text}; promotes {quoted(facts.promoted) or 'no clear words'}"


def quoted(tokens: Iterable[str]) -> str:
    """The first few tokens in quotes, without blanks around them, those that differ by case alone once."""
    seen: dict[str, str] = {}
    for token in tokens:
        text = "".join(INVISIBLE.get(letter, letter) for letter in token).strip(" ")
        seen.setdefault(text.casefold(), f"'{text}'" if text else "a space")
    return ", ".join(list(seen.values())[:NAMED])


def is_word(token: str, marked: bool) -> bool:
    """Whether a token reads as a word: two letters or more, at a word's start if such tokens are ``marked`` by a blank.

    A token in a script without upper case, which may write no blanks, need only be of letters.
    """
    text = token.strip(" ")
    if not text.isalpha():
        return False
    return text.upper() == text.lower() or (len(text) > 1 and (token.startswith(" ") or not marked))


def gather(measured: Measured, rows: Rows, decode: Callable[[int], str]) -> dict[int, Facts]:
    """What was counted of each live latent, by its number."""
    latent_M, place_M = measured.maxima.entries
    row_M, position_M = measured.row_N[place_M], measured.position_N[place_M]
    counts_F = torch.bincount(latent_M)
    background_V = rows.counts(measured.row_N)
    found = {
        latent: Facts(int(counts_F[latent]), place, share)
        for latent, (place, share) in commonest(latent_M, rows.places(row_M, position_M)).items()
    }
    at = over_represented(latent_M, rows.ids_N[rows.starts_R[row_M] + position_M], background_V)
    maximum_P, token_P = rows.context(row_M, position_M)
    before = over_represented(latent_M[maximum_P], token_P, background_V)
    for name, tokens in (("tokens", at), ("before", before)):
        for latent, token, votes, z in convincing(tokens):
            kept = getattr(found[latent], name)
            if len(kept) < KEPT:
                kept.append((decode(token), votes / found[latent].rows, z))
    return found


def convincing(tokens: OverRepresented) -> Iterable[tuple[int, int, int, float]]:
    """(latent, token, votes, z) of the pairs that are clear of chance."""
    clear_P = (tokens.z_P >= LEAST_Z) & (tokens.count_P >= LEAST_VOTES)
    columns = (tokens.latent_P, tokens.token_P, tokens.count_P, tokens.z_P)
    return zip(*(column[clear_P].tolist() for column in columns), strict=True)


def commonest(latent_M: torch.Tensor, place_M: torch.Tensor) -> dict[int, tuple[str, float]]:
    """Each latent's commonest part of the text and its share; the narrow one if it alone is half of the maxima."""
    shape = (int(latent_M.max()) + 1 if len(latent_M) else 0, len(PLACES))
    counts_FP = torch.bincount(latent_M * len(PLACES) + place_M, minlength=shape[0] * shape[1]).view(shape).double()
    share_FP = counts_FP / counts_FP.sum(1, keepdim=True).clamp(min=1)
    found = {}
    for latent in torch.unique(latent_M).tolist():
        shares = dict(zip(PLACES, share_FP[latent].tolist(), strict=True))
        narrow = [name for name in BROADER if shares[name] >= LEAST_PLACE]
        for name in () if narrow else BROADER:
            shares[BROADER[name]] += shares.pop(name)
        name = narrow[0] if narrow else max(shares, key=shares.__getitem__)
        found[latent] = (name, shares[name])
    return found


def description_table(
    measured: Measured, rows: Rows, tokens: pl.DataFrame, decode: Callable[[list[int]], str]
) -> pl.DataFrame:
    """One row a live latent; ``tokens`` is the table of promoted tokens."""
    texts: dict[int, str] = {}

    def text(token: int) -> str:
        if token not in texts:
            texts[token] = decode([token])
        return texts[token]

    found = gather(measured, rows, text)
    promoted = tokens.filter(model="chat", side="promoted").sort("latent", "rank")
    marked = bool(promoted["token"].str.starts_with(" ").any())
    for (latent,), part in promoted.group_by("latent", maintain_order=True):
        if latent in found:
            found[latent].promoted = [token for token in part["token"] if is_word(token, marked)]
    lists = {
        name + ending: [[entry[part] for entry in getattr(facts, name)] for facts in found.values()]
        for name in ("tokens", "before")
        for part, ending in enumerate(("", "_share", "_z"))
    }
    columns = {
        "latent": list(found),
        "description": [phrase(facts) for facts in found.values()],
        **{name: [getattr(facts, name) for facts in found.values()] for name in ("rows", "place", "place_share")},
    }
    return pl.DataFrame(columns | lists, schema=TABLE)
