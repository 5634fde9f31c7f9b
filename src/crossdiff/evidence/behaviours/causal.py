"""Do a dictionary's best latents carry a planted behaviour? Remove them from chat, add them to base, and look.

Two answers a prompt: the mean log-probability of the behaviour's tokens in the tuned model's own answer (teacher-forced
under the edit), and whether the behaviour is present in greedy generation under the edit.

Generation is exact but rarely starts from nothing: the answer that the unedited model gave is checked in one pass under
the edit, and tokens are generated only from the first one at which the edited model disagrees.

Shapes: S subjects, T positions, L models, D width, P positions, V vocabulary.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from crossdiff.evidence.behaviours.selection import Case
from crossdiff.evidence.edits import RUNNING, Direction, Steering
from crossdiff.evidence.generate import greedy
from crossdiff.evidence.streams import FORWARD_TOKENS, LOGITS, Site, alike
from crossdiff.pair.blocks import upper


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


@dataclass(frozen=True, eq=False)
class _Pass:
    """One answer to be read under one edit."""

    number: int
    """Of the effect it belongs to."""
    row: tuple[str, str]
    case: Case
    x_TLD: Tensor
    """Streams on the prompt with the answer."""
    scored: bool
    """Whether the log-probability of the behaviour's tokens is taken; the answer is then the tuned one."""
    draft: list[int] | None
    """The answer, if generation is to be checked against it."""

    @property
    def wanted(self) -> list[int]:
        """Positions whose predictions are looked at: of the whole draft and what follows it, or of the targets."""
        if self.draft is None:
            return [target - 1 for target in self.case.targets]
        return list(range(self.case.answer - 1, len(self.x_TLD)))

    @property
    def read(self) -> Tensor:
        """The streams up to the last of these."""
        return self.x_TLD[: self.wanted[-1] + 1]


@dataclass(frozen=True)
class _Pending:
    """An answer of which only the start is known."""

    number: int
    row: tuple[str, str]
    case: Case
    answer: list[int]


def behaviour_effects(
    site: Site,
    steering: Steering,
    cases: Sequence[Case],
    tuned: Sequence[Tensor],
    bases: Sequence[Tensor],
    generated: Mapping[Direction, Collection[str]],
    added: int,
    limit: int,
    stops: Collection[int],
    update: Callable[[int], object],
) -> list[Effect]:
    """The effect of every subject's removal and addition on each case.

    ``tuned`` and ``bases`` are both models' streams [T, L, D] on each case with the tuned model's and the base's own
    answer. ``generated`` names the subjects whose answers are generated, to at most ``limit`` tokens; under additions
    on the first ``added`` cases of a behaviour only. ``update`` is told the number of effects as they are done.
    """
    effects: list[Effect] = []
    for direction in RUNNING:
        passes: list[_Pass] = []
        place = Counter[str]()
        for case, tuned_TLD, base_TLD in zip(cases, tuned, bases, strict=True):
            place[case.behaviour] += 1
            answered = direction == "remove" or place[case.behaviour] <= added
            for subject in steering.subjects:
                number, row = len(effects), (case.behaviour, subject)
                asked = answered and subject in generated[direction]
                own = case.ids[case.answer :] if asked and direction == "remove" else None
                if case.targets or own is not None:
                    passes.append(_Pass(number, row, case, tuned_TLD, bool(case.targets), own))
                if asked and direction == "add":
                    passes.append(_Pass(number, row, case, base_TLD, False, case.base_answer))
                effects.append(Effect(case, subject, direction, None, None))
        pending = _read(site, steering, direction, passes, effects, limit, stops)
        update(len(steering.subjects) * len(cases) - len(pending))
        for wait, answer in zip(pending, _generate(site, steering, direction, pending, limit, stops), strict=True):
            effects[wait.number] = replace(effects[wait.number], answer=answer)
        update(len(pending))
    return effects


def _read(
    site: Site,
    steering: Steering,
    direction: Direction,
    passes: list[_Pass],
    effects: list[Effect],
    limit: int,
    stops: Collection[int],
) -> list[_Pending]:
    """Fill in what one look at the known answers tells; gives the answers that have to be generated further."""
    pending = []
    for each, logits_PV in _answer_logits(site, steering, direction, passes):
        effect = effects[each.number]
        if each.scored:
            at = [each.wanted.index(target - 1) for target in each.case.targets]
            effect = replace(effect, logprob=_logprob(logits_PV[at], each.case))
        if each.draft is not None:
            answer, open_ = check(logits_PV, each.draft, limit, stops)
            effect = replace(effect, answer=answer)
            if open_:
                pending.append(_Pending(each.number, each.row, each.case, answer))
        effects[each.number] = effect
    return sorted(pending, key=lambda wait: wait.number)


def accepted(likeliest: Sequence[int], draft: Sequence[int]) -> int:
    """How many leading tokens of a draft greedy decoding gives too."""
    return next((n for n, (a, b) in enumerate(zip(likeliest, draft, strict=False)) if a != b), len(draft))


def check(logits_PV: Tensor, draft: Sequence[int], limit: int, stops: Collection[int]) -> tuple[list[int], bool]:
    """What greedy decoding surely gives, and whether it goes on.

    ``logits_PV`` predict the draft's tokens and the one after them; the answer is the part of the draft that greedy
    decoding agrees with and its own next token.
    """
    likeliest = logits_PV.max(-1).indices.tolist()  # of bf16 logits four times as fast as argmax
    kept = accepted(likeliest, draft[:limit])
    answer = list(draft[:kept])
    if kept == limit or likeliest[kept] in stops:
        return answer, False
    answer.append(likeliest[kept])
    return answer, len(answer) < limit


def _answer_logits(
    site: Site, steering: Steering, direction: Direction, passes: Sequence[_Pass]
) -> Iterator[tuple[_Pass, Tensor]]:
    """Each pass with its logits [P, V], in the model's dtype, at the positions wanted.

    Passes of like length share a forward, padded on the right: what follows a token does not reach it.
    """
    running = RUNNING[direction]
    model = site.model(running)
    tokens = min(FORWARD_TOKENS, LOGITS // model.config.get_text_config().vocab_size)
    for chosen in alike([len(each.read) for each in passes], max(1, tokens)):
        some = [passes[number] for number in chosen]
        x_RTLD = pad_sequence([each.read for each in some], batch_first=True)
        place_T = torch.arange(x_RTLD.shape[1], device=site.device)
        answer_R = torch.tensor([each.case.answer for each in some], device=site.device)
        length_R = torch.tensor([len(each.read) for each in some], device=site.device)
        answering_RT = (place_T >= answer_R[:, None] - 1) & (place_T < length_R[:, None])
        wanted_RT = torch.zeros_like(answering_RT)
        for row, each in enumerate(some):
            wanted_RT[row, each.wanted] = True
        edit = steering.edit([each.row for each in some], direction)
        edit_RTD = edit(x_RTLD, torch.arange(len(some), device=site.device), answering_RT)
        edit_RTD = edit_RTD * site.past_start(place_T)[:, None]
        stream_RTD = (x_RTLD[:, :, 1 if running == "chat" else 0].float() + edit_RTD).to(model.dtype)
        with torch.no_grad():
            logits_NV = upper(model, site.layer, stream_RTD, logits_to_keep=wanted_RT)
        yield from zip(some, logits_NV.split(wanted_RT.sum(1).tolist()), strict=True)


def _logprob(logits_NV: Tensor, case: Case) -> float:
    """Mean log-probability of the behaviour's tokens, in nats, from the logits that predict each of them."""
    wanted_N = torch.tensor([case.ids[target] for target in case.targets], device=logits_NV.device)
    return float(logits_NV.float().log_softmax(-1).gather(1, wanted_N[:, None]).mean())


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
