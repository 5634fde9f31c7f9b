"""Shuffled training batches from stored activations, beside a per-token data set with PyTorch's default collate.

python -m benchmarks.sampling
python -m benchmarks.sampling --width 2304 --tokens 1000000 --folder /a/disk/with/room

Shards of random bf16 activations are made in a temporary folder and stay in the page cache. "per-token data set" is
what published loaders do: item i of a map-style data set is one token of both models, from the mapped file that holds
it; a DataLoader shuffles, fetches token by token and collates. "one copy" copies as many bytes in memory: the limit.
"""

import argparse
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks import harness
from benchmarks.harness import Row
from crossdiff.activations.sample import batches
from crossdiff.activations.shards import Shard, write_shard
from crossdiff.activations.store import Activations


def made(folder: Path, shards: int, tokens: int, width: int, seed: int) -> Activations:
    """Shards of ``tokens`` random pairs in all, one row of 256 tokens after the other."""
    generator = torch.Generator().manual_seed(seed)
    each = tokens // shards
    rows = -(-each // 256)
    listed: list[Shard] = []
    for number in range(shards):
        row_n = torch.arange(each, dtype=torch.int32) // 256
        tensors = {
            "x": torch.randn(each, 2, width, generator=generator).bfloat16(),
            "norm": torch.ones(each, 2),
            "row": row_n + number * rows,
            "position": torch.arange(each, dtype=torch.int32) % 256,
            "token": torch.zeros(each, dtype=torch.int32),
            "role": torch.zeros(each, dtype=torch.uint8),
        }
        listed.append(write_shard(folder, number, range(number * rows, (number + 1) * rows), tensors, "benchmark"))
    label_R = torch.zeros(shards * rows, dtype=torch.uint8)
    return Activations(folder, listed, 2, width, None, ["all"], split_R=label_R, source_R=label_R)


class Tokens(Dataset[Tensor]):
    """One token of both models an item."""

    def __init__(self, activations: Activations):
        self.parts = [tensors["x"] for tensors in activations.tensors]
        self.ends = torch.tensor([len(part) for part in self.parts]).cumsum(0).tolist()

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Tensor:
        part = bisect_right(self.ends, index)
        x_LD = self.parts[part][index - (self.ends[part - 1] if part else 0)]
        return torch.stack([x_LD[0], x_LD[1]])  # base and chat are two caches there


def endless(activations: Activations, batch: int, workers: int) -> Iterator[Tensor]:
    """Epoch after epoch of a shuffling DataLoader."""
    while True:
        yield from DataLoader(Tokens(activations), batch_size=batch, shuffle=True, drop_last=True, num_workers=workers)


def drain(stream: Iterator[Tensor], count: int) -> None:
    """Take ``count`` batches."""
    for _ in islice(stream, count):
        pass


def copies(stored_NLD: Tensor, batch: int, count: int) -> None:
    """As many bytes, one after the other."""
    for number in range(count):
        start = number * batch % max(1, len(stored_NLD) - batch)
        stored_NLD[start : start + batch].clone()


def measure(chosen: argparse.Namespace) -> list[Row]:
    """All rows."""
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        activations = made(Path(folder), chosen.shards, chosen.tokens, chosen.width, chosen.seed)
        view = activations.view("train")
        x_NLD = activations.tensors[0]["x"].clone()
        work = {
            "crossdiff": partial(drain, batches(view, chosen.batch, chosen.seed), chosen.batches),
            "per-token data set": partial(drain, endless(activations, chosen.batch, chosen.workers), chosen.batches),
            "one copy": partial(copies, x_NLD, chosen.batch, chosen.batches),
        }
        taken = harness.alternate(work, chosen.rounds, harness.Clock())
    case = f"{chosen.tokens:,} pairs, D={chosen.width}, B={chosen.batch}"
    against = {"crossdiff": "per-token data set,one copy"}
    rows = harness.rate_rows(case, "speed", "batches/s", chosen.batches, taken, against)
    return rows + harness.rate_rows(case, "speed", "pairs/s", chosen.batches * chosen.batch, taken, {})


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measure, print and write."""
    made_ = harness.parser(__doc__, rounds=5)
    made_.add_argument("--tokens", type=int, default=262_144, help="stored pairs (default: %(default)s)")
    made_.add_argument("--shards", type=int, default=4, help="files (default: %(default)s)")
    made_.add_argument("--width", type=int, default=576, help="D (default: %(default)s)")
    made_.add_argument("--batch", type=int, default=2048, help="tokens a batch (default: %(default)s)")
    made_.add_argument("--batches", type=int, default=16, help="batches a round (default: %(default)s)")
    made_.add_argument("--workers", type=int, default=0, help="processes of the DataLoader (default: %(default)s)")
    made_.add_argument("--folder", help="where the shards are made (default: the system's temporary folder)")
    chosen = made_.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    rows = measure(chosen)
    harness.report("sampling", chosen, rows)
    return rows


if __name__ == "__main__":
    main()
