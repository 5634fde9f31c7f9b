"""KL patching (study_spec §3.3): how far the chat model's predictions move when its stream is edited at the site.

Both models run to block ℓ, the stream is edited, the chat model's upper blocks finish the job; measured is
KL(p_chat ‖ p_edited) at the positions that predict assistant tokens. The dictionary's edit is 0 on tokens masked for
their norm and on the skipped start of a row, which therefore keep the stream the intervention starts from.

Shapes: T positions, P prediction positions, S streams, D width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crossdiff.corpus.roles import Role
from crossdiff.evidence.components import Components, difference
from crossdiff.evidence.streams import Site

FIRST = 10
"""Prediction positions a turn of the "first nine", before template positions are taken away."""
THROUGH_BASE = ("base", "chat-to-base")
"""Streams of base and of chat, as they are called where the base's upper blocks run on them."""
CHUNK = 2**19
"""Entries of the vocabulary × positions that the float32 sums work on at a time, so that they stay in the cache."""


@dataclass(frozen=True)
class Conversation:
    """A held-out row with at least one assistant token to predict."""

    row: int
    source: str
    ids: list[int]
    roles: list[int]


def predictions(roles_T: Tensor) -> Tensor:
    """Positions [T] that predict an assistant token, or the template token that ends an assistant turn."""
    assistant_T, template_T = roles_T == Role.ASSISTANT, roles_T == Role.TEMPLATE
    out_T = torch.zeros_like(assistant_T)
    out_T[:-1] = assistant_T[1:] | (assistant_T[:-1] & template_T[1:])
    return out_T


def starting(roles_T: Tensor) -> Tensor:
    """The first ten prediction positions [T] of each assistant turn.

    The position that predicts a turn's first word lies on the last template token of its header.
    """
    all_T = predictions(roles_T)
    count_T = torch.cumsum(all_T, 0)
    starts_T = all_T.clone()
    starts_T[1:] &= ~all_T[:-1]
    before_T = torch.cummax(torch.where(starts_T, count_T - 1, torch.zeros_like(count_T)), 0).values
    return all_T & (count_T - before_T <= FIRST)


def first_nine(roles_T: Tensor) -> Tensor:
    """The first ten prediction positions [T] of each assistant turn, less those on template tokens: nine a turn."""
    return starting(roles_T) & (roles_T != Role.TEMPLATE)


def later(roles_T: Tensor) -> Tensor:
    """The prediction positions [T] after the first ten of each assistant turn: the study's "post" group."""
    return predictions(roles_T) & ~starting(roles_T)


class Predicted:
    """A reference distribution at each position, of which `divergence` tells how far another one is."""

    def __init__(self, logits_PV: Tensor):
        self._logits_PV = logits_PV
        self._total_P = logits_PV.logsumexp(-1)
        self._share_PV = (logits_PV - self._total_P[:, None]).exp_()

    def divergence(self, logits_PV: Tensor) -> Tensor:
        """KL(softmax reference ‖ softmax logits) in nats [P], float32, a few positions at a time.

        log Σ e^b − log Σ e^a − Σ p_a (b − a): with the difference of the logits taken first, nothing large cancels.
        """
        rows = max(1, CHUNK // logits_PV.shape[1])
        parts = []
        for first in range(0, len(logits_PV), rows):
            at = slice(first, first + rows)
            moved_p = torch.linalg.vecdot(self._share_PV[at], logits_PV[at] - self._logits_PV[at])
            parts.append(logits_PV[at].logsumexp(-1) - self._total_P[at] - moved_p)
        return torch.cat(parts)


def patched_kl(site: Site, chat_TD: Tensor, streams_STD: Tensor, positions_P: Tensor) -> Tensor:
    """KL(p_chat ‖ p_edited) [S, P] of each edited stream, against the unedited stream ``chat_TD``."""
    predicted, rows = None, []
    # The unedited stream goes first, in the same passes.
    for _, logits_sPV in site.logits(site.chat, torch.cat([chat_TD[None].to(streams_STD), streams_STD]), positions_P):
        for logits_PV in logits_sPV:
            if predicted is None:
                predicted = Predicted(logits_PV)
            else:
                rows.append(predicted.divergence(logits_PV))
    return torch.stack(rows)


def baseline_streams(
    site: Site, x_TLD: Tensor, roles_T: Tensor, components: Components | None = None
) -> dict[str, Tensor]:
    """Streams [T, D] that need no dictionary: base all over; chat on template tokens, or on masked tokens only; and
    base plus what the ``components`` hold of the difference, on the tokens that a dictionary would edit."""
    base_TD, chat_TD = x_TLD[:, 0], x_TLD[:, 1]
    template_T1, masked_T1 = (roles_T == Role.TEMPLATE)[:, None], ~site.known(x_TLD)[:, None]
    streams = {
        "none": base_TD,
        "template": torch.where(template_T1, chat_TD, base_TD),
        "outliers": torch.where(masked_T1, chat_TD, base_TD),
    }
    if components:
        edited_TD = base_TD.float() + components.reconstruct(difference(x_TLD))
        streams["components"] = torch.where(masked_T1, base_TD.float(), edited_TD)
    return streams


def base_top_kl(
    site: Site, x_TLD: Tensor, positions_P: Tensor, names: Sequence[str] = THROUGH_BASE
) -> dict[str, Tensor]:
    """KL to the chat model [P] of what the base's upper blocks say of their own stream, and of chat's, by name."""
    (_, chat_1PV) = next(site.logits(site.chat, x_TLD[None, :, 1], positions_P))
    predicted = Predicted(chat_1PV[0])
    streams_STD = torch.stack([x_TLD[:, THROUGH_BASE.index(name)] for name in names])
    through_base = site.logits(site.base, streams_STD, positions_P)
    found = [predicted.divergence(logits_PV) for _, logits_sPV in through_base for logits_PV in logits_sPV]
    return dict(zip(names, found, strict=True))


def kl_rows(
    conversation: Conversation, names: list[str], kl_SP: Tensor, positions_P: Tensor
) -> list[dict[str, object]]:
    """Rows of kl.parquet: sums over all of a conversation's prediction positions, the first nine of each turn, and
    those after its first ten."""
    roles_T = torch.tensor(conversation.roles, device=positions_P.device)
    kinds = {"all": predictions, "first9": first_nine, "later": later}
    groups = {name: among(roles_T)[positions_P] for name, among in kinds.items()}
    return [
        {
            "intervention": name,
            "positions": group,
            "conversation": conversation.row,
            "source": conversation.source,
            "tokens": int(chosen_P.sum()),
            "kl": float(kl_P[chosen_P].double().sum()),
        }
        for group, chosen_P in groups.items()
        for name, kl_P in zip(names, kl_SP, strict=True)
    ]
