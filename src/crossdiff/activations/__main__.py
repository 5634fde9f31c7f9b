"""Read the residual stream of both models at the site for every row, into shards with a manifest.

python -m crossdiff.activations --settings ACTIVATIONS --pair P/pair/pair.json --rows P/corpus/rows.parquet \\
    --out P/activations --threads 2
With --base OTHER/activations/manifest.json the base model's streams are taken from there: same base, same rows.
"""

import hashlib
import json
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from crossdiff.activations import checks
from crossdiff.activations.background import Background
from crossdiff.activations.disk import bytes_a_token
from crossdiff.activations.extract import (
    Models,
    Rows,
    batch_plan,
    extract,
    read_batches,
    shard_plan,
)
from crossdiff.activations.manifest import FORMAT, masked, moments, opened, write_manifest
from crossdiff.activations.quantise import encode
from crossdiff.activations.rows import ROWS, read_rows, stored_rows
from crossdiff.activations.shards import Shard, drop_others, finished, write_shard
from crossdiff.activations.stats import summary
from crossdiff.activations.store import SPLITS, Activations, read_manifest
from crossdiff.amounts import duration
from crossdiff.cli import progress, stage
from crossdiff.errors import UserError
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.parts.activations import Activations as Settings
from crossdiff.process import prepare
from crossdiff.provenance.files import make_folder, sha256_file
from crossdiff.provenance.record import record
from crossdiff.tables import read_table

HEADER_BYTES = 4096
"""Room for a shard's header and sidecar in the disk estimate; 8 bits have centre and spread besides."""


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
    """Time of a middling batch through the models, by its tokens, while on a CPU every thread reads one."""
    batches = batch_plan(rows.lengths_R, shard, batch_tokens)
    readers = torch.get_num_threads() if models[0].device.type == "cpu" else 1
    middling = [batches[len(batches) // 2]] * readers
    took, tokens = 0.0, 0
    for _ in range(2):  # the first pass warms up and is not counted
        started = time.perf_counter()
        tokens = sum(read_batches(models, layer, rows, middling, lambda batch, number, h_ND: h_ND.cpu()))
        took = time.perf_counter() - started
    return took / tokens


def extract_all(
    pair: Pair,
    chosen: Settings,
    rows: Rows,
    plan: list[range],
    out: Path,
    mark: str,
    device: str,
    known: Activations | None = None,
) -> tuple[list[Shard], dict[str, Any]]:
    """All shards, those of an earlier run kept; and what was measured. Checks and estimates come first.

    ``known`` holds the base model's streams on the same rows.
    """
    shards = [finished(out, number, mark) for number in range(len(plan))]
    todo = [number for number, shard in enumerate(shards) if shard is None]
    if not todo:
        print(f"activations: all {len(plan)} shards are there", flush=True)
        return [shard for shard in shards if shard], {"reused_shards": len(plan)}
    stored = getattr(torch, chosen.dtype)
    dtype = getattr(torch, pair.dtype) if stored == torch.int8 else stored
    tokens = sum(int(rows.lengths_R[plan[number].start : plan[number].stop].sum()) for number in todo)
    needed = tokens * bytes_a_token(2, pair.width, stored.itemsize) + len(todo) * (HEADER_BYTES + 16 * pair.width)
    free = checks.check_disk(out, needed)
    models = [pair.lower(name, chosen.layer, device) for name in checks.NAMES]
    checks.check_widths(models)
    checks.check_ids(models, rows)
    moved = checks.check_invariance(models, chosen.layer, rows, chosen.check_rows)
    unknown = models[1:] if known else models
    pace = seconds_a_token(unknown, chosen.layer, rows, plan[todo[0]], chosen.batch_tokens)
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
            base = known.tensors[number] if known else None
            tensors = extract(models, chosen.layer, rows, plan[number], chosen.batch_tokens, dtype, bar.update, base)
            checks.check_finite(tensors)
            checks.check_aligned(models, chosen.layer, rows, tensors, plan[number][len(plan[number]) // 2])
            writer.submit(partial(keep, number, tensors))
    measured = {
        "reused_shards": len(plan) - len(todo),
        "pairs_per_second": tokens / (time.perf_counter() - started),
        "invariance": dict(zip(checks.NAMES, moved, strict=True)),
    }
    return [shard for shard in shards if shard], measured


def known_base(manifest: Path, pair: Path, rows: Path, chosen: Settings) -> Activations | None:
    """Activations that hold the base model's streams, as they would be read here; UserError if they are of others.

    None of an 8-bit store, whose streams are no longer what the model gave.
    """
    if chosen.dtype == "int8":
        return None
    there, here = read_manifest(manifest, ("pair", "rows_sha256", "settings")), json.loads(pair.read_text())
    same = there["pair"]["base"] == here["base"] and there["rows_sha256"] == sha256_file(rows)
    if not same or Settings(**there["settings"]) != chosen:
        raise UserError(f"--base {manifest}: read from another base, other rows or other settings; leave it out")
    return Activations.open(manifest).masked(None)


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The activations part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet.")],
    out: Annotated[Path, typer.Option(help="Folder for shards, manifest.json and run.json.")],
    base: Annotated[Path | None, typer.Option(help="A manifest with the same base, whose streams are taken.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Extract the activations of both models; goes on where an interrupted run stopped."""
    chosen = settings(Settings, settings_)
    prepare(threads, device)
    params = chosen.model_dump(mode="json")
    with record("activations", out / "run.json", params, [pair, rows, *([base] if base else [])]) as run:
        models = Pair.read(pair)
        frame = read_table(rows, ROWS)
        make_folder(out)
        (out / "manifest.json").unlink(missing_ok=True)
        flat = read_rows(frame).only(stored_rows(chosen, frame))
        plan = shard_plan(flat.lengths_R, chosen.shard_tokens)
        mark = fingerprint(chosen, pair, rows, device)
        known = known_base(base, pair, rows, chosen) if base else None
        shards, measured = extract_all(models, chosen, flat, plan, out, mark, device, known)
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
