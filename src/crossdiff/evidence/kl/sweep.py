"""The experiments that need no dictionary, at other blocks than the site (study_spec §3.3, layer sweep).

Shapes: T positions, L models, D width.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from crossdiff.evidence.kl.divergence import (
    Conversation,
    base_top_kl,
    baseline_streams,
    kl_rows,
    patched_kl,
    predictions,
)
from crossdiff.evidence.streams import Site, padded
from crossdiff.pair.blocks import read_sites

THROUGH_CHAT, TO_BASE = ("none", "template"), "chat-to-base"
"""What depends on the block and not on a dictionary's tokens: through chat's upper blocks, and through base's."""


@torch.no_grad()
def swept(site: Site, conversation: Conversation, layers: Sequence[int]) -> list[dict[str, object]]:
    """Rows of `kl_rows` with their ``layer``: the conversation's KL when the models are joined after each of them."""
    ids_1T = padded([conversation.ids], site.device)
    roles_T = torch.tensor(conversation.roles, device=site.device)
    positions_P = predictions(roles_T).nonzero().flatten()
    both = [read_sites(model, layers, ids_1T) for model in (site.base, site.chat)]
    rows: list[dict[str, object]] = []
    for layer, base_1TD, chat_1TD in zip(layers, *both, strict=True):
        here, x_TLD = replace(site, layer=layer), torch.stack([base_1TD[0], chat_1TD[0]], 1)
        found = baseline_streams(here, x_TLD, roles_T)
        kl_SP = patched_kl(here, x_TLD[:, 1], torch.stack([found[name] for name in THROUGH_CHAT]), positions_P)
        through_base = base_top_kl(here, x_TLD, positions_P, [TO_BASE])
        names = [*THROUGH_CHAT, TO_BASE]
        shown = kl_rows(conversation, names, torch.stack([*kl_SP, through_base[TO_BASE]]), positions_P)
        rows += [{"layer": layer} | row for row in shown]
    return rows
