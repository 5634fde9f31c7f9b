"""What an edit made for one behaviour does elsewhere: KL on conversations in which nothing was planted.

KL(p_unedited ‖ p_edited) of the model that runs on (chat for removals, base for additions) at the positions that
predict assistant tokens. An edit that is zero throughout a conversation, as of latents that stay silent, costs nothing
there: its KL is 0 and no pass is made.

Shapes: R edits, T positions, L models, D width, P prediction positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from crossdiff.evidence.edits import RUNNING, Steering
from crossdiff.evidence.kl.divergence import Conversation, patched_kl, predictions
from crossdiff.evidence.streams import Site


@torch.no_grad()
def collateral(
    site: Site,
    steering: Steering,
    edits: Sequence[tuple[str, str]],
    conversations: Sequence[Conversation],
    streams: Sequence[Tensor],
    update: Callable[[int], object],
) -> list[dict[str, object]]:
    """Rows of collateral.parquet: for every edit, a (behaviour, subject), and conversation the KL summed over tokens.

    ``streams`` [T, L, D] are both models' on each conversation; ``update`` is told of each conversation and direction.
    """
    rows: list[dict[str, object]] = []
    for direction, running in RUNNING.items():
        edit = steering.edit(list(edits), direction)
        reference = site if running == "chat" else replace(site, chat=site.base)
        for conversation, x_TLD in zip(conversations, streams, strict=True):
            answering_T = predictions(torch.tensor(conversation.roles, device=site.device))
            x_RTLD = x_TLD.expand(len(edits), *x_TLD.shape)
            added_RTD = edit(x_RTLD, torch.arange(len(edits), device=site.device), answering_T.expand(len(edits), -1))
            added_RTD = added_RTD * site.past_start(torch.arange(len(x_TLD), device=site.device))[:, None]
            own_TD = x_TLD[:, 1 if running == "chat" else 0]
            positions_P = answering_T.nonzero().flatten()
            moved_R = added_RTD.abs().amax((1, 2)) > 0
            kl_R = torch.zeros(len(edits), dtype=torch.float64, device=site.device)
            if moved_R.any():
                moved = patched_kl(reference, own_TD, own_TD.float() + added_RTD[moved_R], positions_P)
                kl_R[moved_R] = moved.double().sum(1)
            rows += [
                {
                    "behaviour": behaviour,
                    "subject": subject,
                    "edit": direction,
                    "conversation": conversation.row,
                    "tokens": len(positions_P),
                    "kl": float(kl),
                }
                for (behaviour, subject), kl in zip(edits, kl_R, strict=True)
            ]
            update(1)
    return rows
