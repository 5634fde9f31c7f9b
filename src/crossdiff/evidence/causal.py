"""Do a dictionary's best latents carry a planted behaviour? Remove them from chat, add them to base, and look.

Two answers a prompt: the mean log-probability of the behaviour's tokens in the tuned model's own answer (teacher-forced
under the edit), and whether the behaviour is present in greedy generation under the edit.

Generation is exact but rarely starts from nothing: the answer that the unedited model gave is checked in one pass under
the edit, and tokens are generated only from the first one at which the edited model disagrees.

Shapes: S subjects, T positions, L models, D width, P positions, V vocabulary.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crossdiff.evidence.edits import RUNNING, Direction, Edit, Steering
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


@dataclass
class _Pending:
    """A checked answer, and from where it must be generated anew."""

    number: int
    """Of the effect it belongs to."""
    row: tuple[str, str]
    prefix: list[int]
    start: int
    """Position of the answer's first token in the prefix."""
    limit: int


def edited(edit: Edit, x_TLD: Tensor, running: str, subjects: int, answer: int) -> Tensor:
    """Streams [S, T, D] float32 of the running model on one sequence, a row of the edit a subject."""
    x_STLD = x_TLD[None].expand(subjects, -1, -1, -1)
    answering_ST = torch.zeros(x_STLD.shape[:2], dtype=torch.bool, device=x_TLD.device)
    answering_ST[:, answer - 1 :] = True
    own_STD = x_STLD[:, :, 1 if running == "chat" else 0].float()
    return own_STD + edit(x_STLD, torch.arange(subjects, device=x_TLD.device), answering_ST)


def accepted(likeliest: Sequence[int], draft: Sequence[int]) -> int:
    """How many leading tokens of a draft greedy decoding gives too."""
    return next((n for n, (a, b) in enumerate(zip(likeliest, draft, strict=False)) if a != b), len(draft))


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
    for direction in RUNNING:
        first, pending = len(effects), []
        for case in cases:
            found, open_ = _teacher_forced(site, steering, case, direction, generated, limit, stops, len(effects))
            effects += found
            pending += open_
            update(len(found) - len(open_))
        answers = _generate(site, steering, direction, pending, stops)
        for wait, answer in zip(pending, answers, strict=True):
            effect = effects[wait.number]
            effects[wait.number] = Effect(effect.case, effect.subject, direction, effect.logprob, answer)
        update(len(pending))
        assert len(effects) - first == len(cases) * len(steering.subjects)
    return effects


def _teacher_forced(
    site: Site,
    steering: Steering,
    case: Case,
    direction: Direction,
    generated: Collection[str],
    limit: int,
    stops: Collection[int],
    number: int,
) -> tuple[list[Effect], list[_Pending]]:
    """Log-probabilities of one case, and the checked answers that have to be generated on."""
    rows = [(case.behaviour, subject) for subject in steering.subjects]
    edit = steering.edit(rows, direction)
    logits_SPV = _answer_logits(site, edit, case.ids, case.answer, direction, len(rows))
    logprobs = _logprobs(logits_SPV, case)
    prompt, draft = case.ids[: case.answer], case.ids[case.answer :]
    wanted = [n for n, subject in enumerate(steering.subjects) if subject in generated]
    if direction == "add" and wanted:
        draft = case.base_answer
        some = steering.edit([rows[n] for n in wanted], direction)
        logits_SPV = _answer_logits(site, some, prompt + draft, case.answer, direction, len(wanted))
    elif wanted:
        logits_SPV = logits_SPV[wanted]
    effects = [Effect(case, subject, direction, logprobs[n], None) for n, subject in enumerate(steering.subjects)]
    pending = []
    for n, logits_PV in zip(wanted, logits_SPV, strict=False):
        likeliest = logits_PV.argmax(-1).tolist()
        kept = accepted(likeliest, draft[:limit])
        answer = draft[:kept]
        if kept < limit and likeliest[kept] not in stops:
            answer = [*answer, likeliest[kept]]
            if len(answer) < limit:
                pending.append(_Pending(number + n, rows[n], prompt + answer, len(prompt), limit - len(answer)))
        effects[n] = Effect(case, steering.subjects[n], direction, logprobs[n], answer)
    return effects, pending


def _answer_logits(site: Site, edit: Edit, ids: list[int], answer: int, direction: Direction, subjects: int) -> Tensor:
    """Logits [S, P, V] float32 at the positions that predict the answer's tokens and the one after them."""
    running = RUNNING[direction]
    streams_STD = edited(edit, site.streams(ids), running, subjects, answer)
    model = site.chat if running == "chat" else site.base
    positions_P = torch.arange(answer - 1, len(ids), device=site.device)
    return torch.cat([logits for _, logits in site.logits(model, streams_STD, positions_P)])


def _logprobs(logits_SPV: Tensor, case: Case) -> list[float | None]:
    """Mean log-probability of the behaviour's tokens for each subject."""
    if not case.targets:
        return [None] * len(logits_SPV)
    at = torch.tensor(case.targets, device=logits_SPV.device)
    wanted = torch.tensor(case.ids, device=logits_SPV.device)[at].expand(len(logits_SPV), -1)
    log_STV = logits_SPV[:, at - case.answer].log_softmax(-1)
    return log_STV.gather(2, wanted[..., None]).mean((1, 2)).tolist()


def _generate(
    site: Site, steering: Steering, direction: Direction, pending: list[_Pending], stops: Collection[int]
) -> list[list[int]]:
    """Full answers of the rows that were left open."""
    if not pending:
        return []
    edit = steering.edit([wait.row for wait in pending], direction)
    more = greedy(
        site,
        RUNNING[direction],
        edit,
        [wait.prefix for wait in pending],
        [wait.start for wait in pending],
        [wait.limit for wait in pending],
        stops,
    )
    return [wait.prefix[wait.start :] + tokens for wait, tokens in zip(pending, more, strict=True)]
