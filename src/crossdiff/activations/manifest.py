"""What an extraction found over all its shards: what is masked, the moments of what is kept, and the manifest."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from crossdiff.activations.shards import Shard
from crossdiff.activations.stats import Moments, commonest, norm_thresholds
from crossdiff.activations.store import ROWS_FILE, SPLITS, Activations
from crossdiff.cli import progress
from crossdiff.corpus.roles import Role
from crossdiff.errors import UserError
from crossdiff.parts.activations import Activations as Settings
from crossdiff.provenance.files import sha256_file, whole

FORMAT = 2
"""Raised when shards of an older version cannot be reused."""
STAT_TOKENS = 8192
"""Tokens of a block when statistics are taken."""


def opened(out: Path, shards: list[Shard], frame: pl.DataFrame, width: int, chosen: Settings) -> Activations:
    """The shards with what is masked: thresholds come from the norms of all training tokens that are not skipped."""
    sources = sorted(frame["source"].unique().to_list())
    everything = Activations(
        folder=out,
        shards=shards,
        models=2,
        width=width,
        thresholds=None,
        sources=sources,
        split_R=torch.tensor([SPLITS.index(split) for split in frame["split"]], dtype=torch.uint8),
        source_R=torch.tensor([sources.index(source) for source in frame["source"]], dtype=torch.uint8),
        skip_first=chosen.skip_first,
    )
    train = everything.view("train")
    if not train.tokens:
        raise UserError(
            "rows.parquet: no row for training is longer than activations.skip_first; raise corpus.train_tokens"
        )
    norms = [t["norm"][kept] for t, kept in zip(everything.tensors, train.kept, strict=True)]
    return everything.masked(norm_thresholds(torch.cat(norms), chosen.outlier_factor))


def moments(activations: Activations) -> dict[str, Moments]:
    """Moments of the kept training tokens of each source."""
    by_source: dict[str, Moments] = {}
    view = activations.view("train")
    with progress(view.tokens, "statistics", "pair") as bar:
        for block in view.blocks(STAT_TOKENS):
            source_B = activations.source_R[block.row_B.long()]
            for number in source_B.unique().tolist():
                found = Moments.of(block.x_BLD[source_B == number])
                name = activations.sources[number]
                by_source[name] = by_source[name] + found if name in by_source else found
            bar.update(len(block.row_B))
    if not by_source:
        raise UserError("activations.outlier_factor: every training token is masked; raise it, or set it to null")
    return by_source


def masked(activations: Activations, split: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """How many tokens of a split are kept and masked, and the commonest of those masked; none that is skipped."""
    every, kept = activations.masked(None).view(split), activations.view(split)
    tokens, roles, norms = [], [], []
    for tensors, places in zip(activations.tensors, every.kept, strict=True):
        out = places[~activations.ordinary(tensors["norm"][places])]
        tokens.append(tensors["token"][out])
        roles.append(tensors["role"][out])
        norms.append(tensors["norm"][out])
    norm_NL = torch.cat(norms)
    return {
        "tokens": every.tokens,
        "kept": kept.tokens,
        "masked": every.tokens - kept.tokens,
        "largest_norm": norm_NL.max(0).values.tolist() if len(norm_NL) else None,
        "masked_tokens": [
            {"token": token, "text": tokenizer.decode([token]), "role": Role(role).name.lower(), "count": count}
            for token, role, count in commonest(torch.cat(tokens), torch.cat(roles))
        ],
    }


def write_manifest(out: Path, activations: Activations, facts: dict[str, Any]) -> None:
    """The row labels, then the manifest."""
    with whole(out / ROWS_FILE) as temporary:
        save_file({"split": activations.split_R, "source": activations.source_R}, temporary)
    manifest = {
        "format": FORMAT,
        "L": activations.models,
        "D": activations.width,
        **facts,
        "sources": activations.sources,
        "thresholds": activations.thresholds,
        "skip_first": activations.skip_first,
        "rows_file": {"file": ROWS_FILE, "sha256": sha256_file(out / ROWS_FILE)},
        "shards": [asdict(shard) for shard in activations.shards],
    }
    with whole(out / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=1) + "\n")
