"""Made-up shards on disk, for tests of reading them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from crossdiff.activations.shards import write_shard
from crossdiff.activations.store import ROWS_FILE

WIDTH = 5


def write(folder: Path, lengths: list[list[int]], thresholds: list[float] | None = None, seed: int = 0) -> Path:
    """Random bf16 activations; gives the manifest. ``lengths`` are the rows of each shard.

    Row r is for validation if r % 3 == 2; sources a and b take turns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    shards, row, token = [], 0, 0
    for number, rows in enumerate(lengths):
        n = sum(rows)
        x = torch.randn(n, 2, WIDTH, generator=generator).bfloat16()
        tensors = {
            "x": x,
            "norm": x.float().norm(dim=-1),
            "row": torch.cat([torch.full((length,), row + k) for k, length in enumerate(rows)]).int(),
            "position": torch.cat([torch.arange(length) for length in rows]).int(),
            "token": torch.arange(token, token + n).int(),
            "role": torch.randint(0, 5, (n,), generator=generator).to(torch.uint8),
        }
        shards.append(write_shard(folder, number, range(row, row + len(rows)), tensors, "settings"))
        row, token = row + len(rows), token + n
    number_R = torch.arange(row)
    save_file(
        {"split": (number_R % 3 == 2).to(torch.uint8), "source": (number_R % 2).to(torch.uint8)}, folder / ROWS_FILE
    )
    listed = [vars(shard) for shard in shards]
    manifest = {"L": 2, "D": WIDTH, "thresholds": thresholds, "sources": ["a", "b"], "shards": listed}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder / "manifest.json"


def shard_bytes(folder):
    """Content of each shard, by its name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.safetensors"))}
