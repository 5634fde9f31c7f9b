"""Do a dictionary's best latents carry a planted behaviour? Remove them from chat, add them to base, and look.

Two answers a prompt: the mean log-probability of the behaviour's tokens in the tuned model's own answer (teacher-forced
under the edit), and whether the behaviour is present in greedy generation under the edit.

Generation is exact but rarely starts from nothing: the answer that the unedited model gave is checked in one pass under
the edit, and tokens are generated only from the first one at which the edited model disagrees.

Shapes: S subjects, T positions, L models, D width, P positions, V vocabulary.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossdiff.evidence.edits import RUNNING, Direction, Steering
from crossdiff.evidence.generate import greedy
from crossdiff.evidence.selection import Case
from crossdiff.evidence.streams import Site


@dataclass(frozen=True)
class Effect:
    """What an edit did to one prompt."""

    case: Case
    subject: str
    edit: Direction
    logprob: float | None
    """Mean nats per behaviour token of the tuned answer; None if that answer shows no behaviour."""
    answer: list[int] | None
    """Tokens generated under the edit; None where generation was not asked for."""


@dataclass(frozen=True)
class _Pending:
    """An answer of which only the start is known."""

    number: int
    """Of the effect it belongs to."""
    row: tuple[str, str]
    case: Case
    answer: list[int]


def behaviour_effects(
    site: Site,
    steering: Steering,
    cases: Sequence[Case],
    generated: Collection[str],
    limit: int,
    stops: Collection[int],
    update: Callable[[int], object],
) -> list[Effect]:
    """The effect of every subject's removal and addition on each case.

    ``generated`` names the subjects whose answers are generated, to at most ``limit`` tokens; ``update`` is told the
    number of effects as they are done.
    """
    effects: list[Effect] = []
    tuned = site.streams([case.ids for case in cases])
    bases = site.streams([case.ids[: case.answer] + case.base_answer for case in cases] if generated else [])
    for direction in RUNNING:
        pending: list[_Pending] = []
        for number, case in enumerate(cases):
            rows = [(case.behaviour, subject) for subject in steering.subjects]
            logits_SPV = _answer_logits(site, steering, rows, direction, case, tuned[number])
            logprobs = _logprobs(logits_SPV, case)
            wanted = [n for n, subject in enumerate(steering.subjects) if subject in generated]
            some = [rows[n] for n in wanted]
            draft, logits_SPV = case.ids[case.answer :], logits_SPV[wanted]
            if direction == "add" and some:
                draft = case.base_answer
                logits_SPV = _answer_logits(site, steering, some, direction, case, bases[number])
            checked = [check(logits_PV, draft, limit, stops) for logits_PV in logits_SPV]
            answers = dict(zip(wanted, checked, strict=True))
            for n, (_, subject) in enumerate(rows):
                answer, open_ = answers.get(n, (None, False))
                if open_ and answer is not None:
                    pending.append(_Pending(len(effects), rows[n], case, answer))
                effects.append(Effect(case, subject, direction, logprobs[n], answer))
            update(len(rows) - sum(open_ for _, open_ in checked))
        for wait, answer in zip(pending, _generate(site, steering, direction, pending, limit, stops), strict=True):
            effects[wait.number] = replace(effects[wait.number], answer=answer)
        update(len(pending))
    return effects


def accepted(likeliest: Sequence[int], draft: Sequence[int]) -> int:
    """How many leading tokens of a draft greedy decoding gives too."""
    return next((n for n, (a, b) in enumerate(zip(likeliest, draft, strict=False)) if a != b), len(draft))


def check(logits_PV: Tensor, draft: Sequence[int], limit: int, stops: Collection[int]) -> tuple[list[int], bool]:
    """What greedy decoding surely gives, and whether it goes on.

    ``logits_PV`` predict the draft's tokens and the one after them; the answer is the part of the draft that greedy
    decoding agrees with and its own next token.
    """
    likeliest = logits_PV.argmax(-1).tolist()
    kept = accepted(likeliest, draft[:limit])
    answer = list(draft[:kept])
    if kept == limit or likeliest[kept] in stops:
        return answer, False
    answer.append(likeliest[kept])
    return answer, len(answer) < limit


def _answer_logits(
    site: Site, steering: Steering, rows: list[tuple[str, str]], direction: Direction, case: Case, x_TLD: Tensor
) -> Tensor:
    """Logits [S, P, V] float32 under each row's edit, where the answer and the token after it are predicted."""
    running = RUNNING[direction]
    x_STLD = x_TLD[None].expand(len(rows), -1, -1, -1)
    answering_ST = torch.zeros(x_STLD.shape[:2], dtype=torch.bool, device=x_TLD.device)
    answering_ST[:, case.answer - 1 :] = True
    edit_STD = steering.edit(rows, direction)(x_STLD, torch.arange(len(rows), device=x_TLD.device), answering_ST)
    streams_STD = x_STLD[:, :, 1 if running == "chat" else 0].float() + edit_STD
    positions_P = torch.arange(case.answer - 1, len(x_TLD), device=x_TLD.device)
    return torch.cat([logits for _, logits in site.logits(site.model(running), streams_STD, positions_P)])


def _logprobs(logits_SPV: Tensor, case: Case) -> list[float | None]:
    """Mean log-probability of the behaviour's tokens for each subject."""
    if not case.targets:
        return [None] * len(logits_SPV)
    at = torch.tensor(case.targets, device=logits_SPV.device)
    wanted = torch.tensor(case.ids, device=logits_SPV.device)[at].expand(len(logits_SPV), -1)
    log_STV = logits_SPV[:, at - case.answer].log_softmax(-1)
    return log_STV.gather(2, wanted[..., None]).mean((1, 2)).tolist()


def _generate(
    site: Site,
    steering: Steering,
    direction: Direction,
    pending: list[_Pending],
    limit: int,
    stops: Collection[int],
) -> list[list[int]]:
    """Full answers of the rows that were left open."""
    if not pending:
        return []
    more = greedy(
        site,
        RUNNING[direction],
        steering.edit([wait.row for wait in pending], direction),
        [wait.case.ids[: wait.case.answer] + wait.answer for wait in pending],
        [wait.case.answer for wait in pending],
        [limit - len(wait.answer) for wait in pending],
        stops,
    )
    return [wait.answer + tokens for wait, tokens in zip(pending, more, strict=True)]
