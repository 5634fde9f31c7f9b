"""kl.parquet: the KL experiment over held-out conversations, with a dictionary or without one."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import torch

from crossdiff.cli import progress
from crossdiff.dictionaries import Dictionary
from crossdiff.evidence.components import Components
from crossdiff.evidence.intervals import recovered_share, token_mean
from crossdiff.evidence.kl.divergence import (
    Conversation,
    base_top_kl,
    baseline_streams,
    kl_rows,
    patched_kl,
    predictions,
)
from crossdiff.evidence.kl.interventions import Intervention, edited_streams
from crossdiff.evidence.streams import Site

KL_SCHEMA = {
    "intervention": pl.String, "positions": pl.String, "conversation": pl.UInt32, "source": pl.String,
    "tokens": pl.UInt32, "kl": pl.Float64,
}  # fmt: skip


@torch.no_grad()
def kl_table(
    site: Site,
    held_out: Sequence[Conversation],
    streams: Sequence[torch.Tensor],
    dictionary: Dictionary | None,
    chosen: list[Intervention],
    components: Components | None,
) -> pl.DataFrame:
    """kl.parquet: of the chosen interventions, or of the baselines if there is no dictionary."""
    rows: list[dict[str, object]] = []
    with progress(len(held_out), "KL patching", "conversation") as bar:
        for conversation, x_TLD in zip(held_out, streams, strict=True):
            roles_T = torch.tensor(conversation.roles, device=site.device)
            positions_P = predictions(roles_T).nonzero().flatten()
            if dictionary:
                names = [intervention.name for intervention in chosen]
                streams_STD = edited_streams(dictionary, chosen, x_TLD, site.known(x_TLD))
            else:
                found = baseline_streams(site, x_TLD, roles_T, components)
                names, streams_STD = list(found), torch.stack([stream_TD.float() for stream_TD in found.values()])
            kl_SP = patched_kl(site, x_TLD[:, 1], streams_STD, positions_P)
            if not dictionary:
                through_base = base_top_kl(site, x_TLD, positions_P)
                names, kl_SP = [*names, *through_base], torch.cat([kl_SP, torch.stack(list(through_base.values()))])
            rows += kl_rows(conversation, names, kl_SP, positions_P)
            bar.update()
    return pl.DataFrame(rows, schema=KL_SCHEMA)


def kl_summary(table: pl.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Mean KL a token of each intervention, and the share it recovers where "none" is in the table."""
    out: dict[str, Any] = {}
    for (group, name), part in table.group_by(["positions", "intervention"], maintain_order=True):
        part = part.filter(pl.col("tokens") > 0)
        if part.is_empty():
            continue
        none = table.filter(
            (pl.col("intervention") == "none") & (pl.col("positions") == group)
            & pl.col("conversation").is_in(part["conversation"].implode())
        )  # fmt: skip
        numbers: dict[str, Any] = {"kl": token_mean(part["kl"], part["tokens"], resamples, seed)}
        if len(none):
            numbers["recovered"] = recovered_share(none["kl"], part["kl"], resamples, seed)
        out.setdefault(str(group), {})[str(name)] = numbers
    return out
