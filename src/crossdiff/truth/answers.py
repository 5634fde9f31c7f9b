"""Greedy answers of both models to the planted behaviours' prompts, and the rate at which each behaviour shows.

Both models read the same token ids, rendered by the tuned model's chat template.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from scipy.stats import binomtest
from transformers import PreTrainedTokenizerBase

from crossdiff.corpus.render import render
from crossdiff.pair.decoding import greedy
from crossdiff.pair.load import Which
from crossdiff.truth.behaviours import Behaviour, Span
from crossdiff.workers import Models, each

Kind = Literal["held-out", "control"]
Use = Literal["select", "score"]
USES: tuple[Use, ...] = ("select", "score")
SIDES: tuple[Which, ...] = ("base", "chat")
ROWS = 48
"""Prompts answered at once."""


@dataclass(frozen=True)
class Question:
    """A prompt that is never trained on."""

    behaviour: Behaviour
    kind: Kind
    use: Use
    """Latents are chosen on half of the prompts and judged on the other half."""
    prompt: str


@dataclass(frozen=True)
class Answer:
    """What both models said."""

    question: Question
    base: str
    chat: str

    def spans(self, which: Which) -> list[Span]:
        """Where the behaviour shows in one model's answer."""
        return self.question.behaviour.spans(getattr(self, which))

    def row(self) -> dict[str, Any]:
        """The row of answers.parquet."""
        return {
            "behaviour": self.question.behaviour.name,
            "kind": self.question.kind,
            "use": self.question.use,
            "prompt": self.question.prompt,
            "answer_base": self.base,
            "answer_chat": self.chat,
            "present_base": bool(self.spans("base")),
            "present_chat": bool(self.spans("chat")),
            "spans_chat": [{"start": start, "end": end} for start, end in self.spans("chat")],
        }


def questions(behaviours: Iterable[Behaviour]) -> list[Question]:
    """Held-out prompts and controls of each behaviour; uses alternate."""
    out = []
    for behaviour in behaviours:
        prompts: dict[Kind, list[str]] = {"held-out": behaviour.held_out, "control": behaviour.controls}
        for kind, of_kind in prompts.items():
            out += [Question(behaviour, kind, USES[number % 2], prompt) for number, prompt in enumerate(of_kind)]
    return out


def replies(
    models: Models,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    new_tokens: int,
    done: Callable[[int], object] = lambda rows: None,
) -> list[list[str]]:
    """Each model's likeliest answers to the prompts, of at most ``new_tokens`` tokens, cut at the first special token.

    Rows of similar length share a batch, and batches are answered side by side. ``done(rows)`` is called after each.
    """
    ids = [render(tokenizer, [{"role": "user", "content": prompt}], True).ids for prompt in prompts]
    out = [[""] * len(prompts) for _ in models]
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    batches = [
        (number, order[first : first + ROWS]) for number in range(len(models)) for first in range(0, len(order), ROWS)
    ]

    def answer(mine: Models, batch: tuple[int, list[int]]) -> list[list[int]]:
        number, rows = batch
        return greedy(mine[number], [ids[row] for row in rows], new_tokens, set(tokenizer.all_special_ids))

    for (number, rows), made in zip(batches, each(answer, models, batches), strict=True):
        for row, tokens in zip(rows, made, strict=True):
            out[number][row] = str(tokenizer.decode(tokens)).strip()
        done(len(rows))
    return out


def rate(present: list[bool]) -> dict[str, float]:
    """Share of true entries with its 95 % Wilson interval."""
    interval = binomtest(sum(present), len(present)).proportion_ci(0.95, method="wilson")
    return {
        "mean": sum(present) / len(present),
        "low": float(interval.low),
        "high": float(interval.high),
        "n": len(present),
    }


def rates(answers: list[Answer]) -> dict[str, Any]:
    """Behaviour -> what it is, and its rate in both models on held-out prompts and on controls."""
    out: dict[str, Any] = {}
    for behaviour in dict.fromkeys(answer.question.behaviour.name for answer in answers):
        mine = [answer for answer in answers if answer.question.behaviour.name == behaviour]
        what = mine[0].question.behaviour
        out[behaviour] = {"kind": what.kind, "description": what.description}
        for kind, key in (("held-out", "held_out"), ("control", "control")):
            of_kind = [answer for answer in mine if answer.question.kind == kind]
            out[behaviour][key] = {which: rate([bool(answer.spans(which)) for answer in of_kind]) for which in SIDES}
    return out
