"""Read the residual stream of both models at the site for every row, into shards with a manifest.

python -m crossdiff.activations --settings ACTIVATIONS --pair P/pair/pair.json --rows P/corpus/rows.parquet \\
    --out P/activations --threads 2
"""

import hashlib
import json
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import torch
import typer
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from crossdiff.activations import checks
from crossdiff.activations.background import Background
from crossdiff.activations.extract import (
    Models,
    Rows,
    batch_plan,
    bytes_a_token,
    extract,
    padded,
    read_tokens,
    shard_plan,
)
from crossdiff.activations.quantise import encode
from crossdiff.activations.shards import Shard, drop_others, finished, write_shard
from crossdiff.activations.stats import Moments, commonest, norm_thresholds, summary
from crossdiff.activations.store import ROWS_FILE, SPLITS, Activations
from crossdiff.cli import progress, stage
from crossdiff.config import settings
from crossdiff.corpus.roles import Role
from crossdiff.errors import UserError
from crossdiff.pair.load import Pair
from crossdiff.parts import Activations as Settings
from crossdiff.process import prepare
from crossdiff.provenance.files import sha256_file, whole
from crossdiff.provenance.record import record

FORMAT = 2
"""Raised when shards of an older version cannot be reused."""
HEADER_BYTES = 4096
"""Room for a shard's header and sidecar in the disk estimate; 8 bits have centre and spread besides."""
STAT_TOKENS = 8192
"""Tokens of a block when statistics are taken."""


def read_rows(frame: pl.DataFrame) -> Rows:
    """Ids and roles of rows.parquet as flat tensors."""
    if not frame["row"].equals(pl.Series("row", range(len(frame)), dtype=frame["row"].dtype)):
        raise UserError("rows.parquet: rows are not numbered 0, 1, … in order; run the corpus step again")
    return Rows(
        ids_N=torch.from_numpy(frame["ids"].explode().to_numpy().astype("int32")),
        roles_N=torch.from_numpy(frame["roles"].explode().to_numpy().astype("uint8")),
        lengths_R=torch.from_numpy(frame["ids"].list.len().to_numpy().astype("int64")),
    )


def stored_rows(chosen: Settings, frame: pl.DataFrame) -> torch.Tensor:
    """Rows that are stored, int64 in order: all, or with a stream those held out and the first of the others.

    Rows stand in an order drawn at random, so the first are a fair sample of every source.
    """
    if chosen.store == "disk":
        return torch.arange(len(frame))
    held_out = (frame["split"] != "train").to_torch()
    lengths_R = frame["ids"].list.len().to_torch().long().masked_fill(held_out, 0)
    before_R = torch.cumsum(lengths_R, 0) - lengths_R
    return (held_out | (before_R < chosen.sample_tokens)).nonzero().flatten()


def fingerprint(chosen: Settings, pair: Path, rows: Path, device: str) -> str:
    """Hash of all that a shard's bytes depend on: settings, rows, pair.json (it holds the weights' hashes), threads."""
    named = {"layer", "dtype", "batch_tokens", "shard_tokens", "store"}
    parts = {
        "format": FORMAT,
        "settings": chosen.model_dump(
            mode="json", include=named | ({"sample_tokens"} if chosen.store == "stream" else set())
        ),
        "pair": json.loads(pair.read_text()),
        "rows": sha256_file(rows),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": device,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def seconds_a_token(models: Models, layer: int, rows: Rows, shard: range, batch_tokens: int) -> float:
    """Time of a middling batch through both models, by its tokens; the first pass warms up and is not counted."""
    batches = batch_plan(rows.lengths_R, shard, batch_tokens)
    ids_BT, mask_BT = padded(rows, batches[len(batches) // 2])
    took = 0.0
    for _ in range(2):
        started = time.perf_counter()
        for model in models:
            read_tokens(model, layer, ids_BT, mask_BT).cpu()
        took = time.perf_counter() - started
    return took / int(mask_BT.sum())


def extract_all(
    pair: Pair, chosen: Settings, rows: Rows, plan: list[range], out: Path, mark: str, device: str
) -> tuple[list[Shard], dict[str, Any]]:
    """All shards, those of an earlier run kept; and what was measured. Checks and estimates come first."""
    shards = [finished(out, number, mark) for number in range(len(plan))]
    todo = [number for number, shard in enumerate(shards) if shard is None]
    if not todo:
        print(f"activations: all {len(plan)} shards are there", flush=True)
        return [shard for shard in shards if shard], {"reused_shards": len(plan)}
    stored = getattr(torch, chosen.dtype)
    dtype = getattr(torch, pair.dtype) if stored == torch.int8 else stored
    tokens = sum(int(rows.lengths_R[plan[number].start : plan[number].stop].sum()) for number in todo)
    needed = tokens * bytes_a_token(2, pair.width, stored) + len(todo) * (HEADER_BYTES + 16 * pair.width)
    free = checks.check_disk(out, needed)
    models = [pair.lower(name, chosen.layer, device) for name in checks.NAMES]
    checks.check_widths(models)
    checks.check_ids(models, rows)
    moved = checks.check_invariance(models, chosen.layer, rows, chosen.check_rows)
    pace = seconds_a_token(models, chosen.layer, rows, plan[todo[0]], chosen.batch_tokens)
    print(
        f"activations: {tokens:,} tokens in {len(todo)} shards ({len(plan) - len(todo)} of an earlier run kept);"
        f" about {duration(tokens * pace)} at {1 / pace:,.0f} pairs/s; {needed / 1e9:.2f} GB in {out},"
        f" {free / 1e9:.1f} GB free",
        flush=True,
    )
    started = time.perf_counter()

    def keep(number: int, tensors: dict[str, Tensor]) -> None:
        if stored == torch.int8:
            tensors |= encode(tensors["x"])
        shards[number] = write_shard(out, number, plan[number], tensors, mark)

    with progress(tokens, "activations", "pair") as bar, Background() as writer:
        for number in todo:
            tensors = extract(models, chosen.layer, rows, plan[number], chosen.batch_tokens, dtype, bar.update)
            checks.check_finite(tensors)
            checks.check_aligned(models, chosen.layer, rows, tensors, plan[number][len(plan[number]) // 2])
            writer.submit(partial(keep, number, tensors))
    measured = {
        "reused_shards": len(plan) - len(todo),
        "pairs_per_second": tokens / (time.perf_counter() - started),
        "invariance": dict(zip(checks.NAMES, moved, strict=True)),
    }
    return [shard for shard in shards if shard], measured


def duration(seconds: float) -> str:
    """Seconds in words."""
    minutes = seconds / 60
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


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


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The activations part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet.")],
    out: Annotated[Path, typer.Option(help="Folder for shards, manifest.json and run.json.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Extract the activations of both models; goes on where an interrupted run stopped."""
    chosen = settings(Settings, settings_)
    prepare(threads)
    out.mkdir(parents=True, exist_ok=True)
    with record("activations", out / "run.json", chosen.model_dump(mode="json"), [pair, rows]) as run:
        (out / "manifest.json").unlink(missing_ok=True)
        models = Pair.read(pair)
        frame = pl.read_parquet(rows)
        flat = read_rows(frame).only(stored_rows(chosen, frame))
        plan = shard_plan(flat.lengths_R, chosen.shard_tokens)
        mark = fingerprint(chosen, pair, rows, device)
        shards, measured = extract_all(models, chosen, flat, plan, out, mark, device)
        drop_others(out, shards)
        activations = opened(out, shards, frame, models.width, chosen)
        facts = {
            "dtype": chosen.dtype,
            "store": chosen.store,
            "layer": chosen.layer,
            "splits": {split: masked(activations, split, models.tokenizer()) for split in SPLITS},
            **summary(moments(activations)),
            "pair": json.loads(pair.read_text()),
            "rows_sha256": sha256_file(rows),
            "settings": chosen.model_dump(mode="json"),
            "fingerprint": mark,
        }
        write_manifest(out, activations, facts)
        told = ("splits", "scale", "difference_share")
        run.result(**{key: facts[key] for key in told}, **measured, shards=len(shards))


if __name__ == "__main__":
    stage(main)
