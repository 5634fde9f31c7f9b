"""Ask both judges about one latent: an explanation, then verdicts on its held-out texts."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from crossdiff.evidence.interpretation import prompts
from crossdiff.evidence.interpretation.replies import Remembering


@dataclass(frozen=True)
class Question:
    """What is asked of one latent."""

    latent: int
    shown: Sequence[str]
    """Marked texts for the explainer."""
    judged: Sequence[tuple[str, int, str]]
    """(group, number of the text, the text) for the scorer."""


@dataclass
class Answered:
    """What came back."""

    latent: int
    explanation: str | None
    """None if the reply held none; then nothing was judged."""
    verdicts: dict[int, bool] = field(default_factory=dict)
    """By the number of the text; those of malformed replies are missing."""
    malformed: int = 0
    """Replies of the scorer that held no verdicts."""


def answer(
    question: Question,
    explainer: Remembering,
    scorer: Remembering,
    together: int,
    tokens: int,
    done: Callable[[int], object] = lambda texts: None,
) -> Answered:
    """Explain and judge. Texts are judged in an order drawn by the latent's number, so that groups are mixed.

    ``done`` is told how many texts were dealt with.
    """
    found = Answered(question.latent, prompts.explanation(explainer.ask(prompts.explain(question.shown), tokens)))
    judged = list(question.judged)
    random.Random(question.latent).shuffle(judged)
    for first in range(0, len(judged), together):
        some = judged[first : first + together]
        if found.explanation is not None:
            reply = scorer.ask(prompts.score(found.explanation, [text for _, _, text in some]), tokens, len(some))
            said = prompts.verdicts(reply, len(some))
            found.malformed += said is None
            found.verdicts |= {number: yes for (_, number, _), yes in zip(some, said or (), strict=False)}
        done(len(some))
    return found
