"""Stored activations: open a manifest, choose tokens, read them in order or in any order.

    view = Activations.open("results/…/activations/manifest.json").view("train")
    x_BLD = view.gather(index_B)             any kept tokens, raw, in the stored dtype; float32 of an 8-bit store
    for block in view.blocks(2048): …        all of them in stored order

Shards are mapped, not loaded; what is read stays in the page cache of the system.
B tokens, L models (0 base, 1 chat), D width, R rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from crossdiff.activations.quantise import decode
from crossdiff.activations.shards import Shard, open_shard
from crossdiff.errors import UserError
from crossdiff.provenance.files import read_object

SPLITS = ("train", "validation")
NEEDED = ("L", "D", "thresholds", "sources", "shards")
"""What a manifest must hold for its activations to be read."""
SITE = ("layer", "thresholds")
"""What it must hold for the models to be read at its site."""
ROWS_FILE = "rows.safetensors"
"""Split and source of every row: tensors split and source, uint8 [R]; numbers into `SPLITS` and `sources`."""


class Block(NamedTuple):
    """Some tokens in stored order."""

    x_BLD: Tensor
    row_B: Tensor
    position_B: Tensor
    token_B: Tensor
    role_B: Tensor


@dataclass(frozen=True)
class Activations:
    """All shards of an extraction, and what is masked."""

    folder: Path
    shards: list[Shard]
    models: int
    width: int
    thresholds: list[float] | None
    """Largest norm of a kept token, for each model; None keeps all."""
    sources: list[str]
    split_R: Tensor
    source_R: Tensor
    check: bool = False
    skip_first: int = 0
    """Tokens at the start of each row that no view holds."""

    @staticmethod
    def open(manifest_path: Path | str, check: bool = False) -> "Activations":
        """The activations that a manifest lists; ``check`` also compares each shard's sha256.

        UserError names a shard that is missing, truncated or unreadable, before anything is used.
        """
        path = Path(manifest_path)
        manifest = read_manifest(path, NEEDED)
        try:
            rows = load_file(path.parent / ROWS_FILE)
            split_R, source_R = rows["split"], rows["source"]
        except (OSError, SafetensorError, KeyError) as error:
            raise UserError(f"{path.parent / ROWS_FILE}: cannot be read; run the activations step again") from error
        opened = Activations(
            folder=path.parent,
            shards=listed(path, manifest["shards"]),
            models=manifest["L"],
            width=manifest["D"],
            thresholds=manifest["thresholds"],
            sources=manifest["sources"],
            split_R=split_R,
            source_R=source_R,
            check=check,
            skip_first=manifest.get("skip_first", 0),
        )
        _ = opened.tensors
        return opened

    @cached_property
    def tensors(self) -> list[dict[str, Tensor]]:
        """Mapped tensors of every shard."""
        return [open_shard(self.folder, shard, self.models, self.width, self.check) for shard in self.shards]

    def masked(self, thresholds: list[float] | None) -> "Activations":
        """The same activations with other thresholds."""
        return replace(self, thresholds=thresholds)

    def view(self, split: str, sources: Sequence[str] | None = None) -> "View":
        """Kept tokens of a split, of all sources or of those named."""
        unknown = set(sources or ()) - set(self.sources)
        if unknown or split not in SPLITS:
            what = f"source {', '.join(sorted(unknown))}" if unknown else f"split {split!r}"
            there = ", ".join(self.sources if unknown else SPLITS)
            raise UserError(f"the activations have no {what}; there are {there}")
        chosen_R = self.split_R == SPLITS.index(split)
        if sources is not None:
            wanted = torch.tensor([self.sources.index(source) for source in sources], dtype=torch.uint8)
            chosen_R = chosen_R & torch.isin(self.source_R, wanted)
        kept = [
            (chosen_R[tensors["row"].long()] & self.ordinary(tensors["norm"]) & self.late(tensors["position"]))
            .nonzero()
            .flatten()
            .int()
            for tensors in self.tensors
        ]
        return View(self, kept)

    def ordinary(self, norm_nL: Tensor) -> Tensor:
        """Tokens, bool [n], whose norm is within the thresholds in every model."""
        if self.thresholds is None:
            return torch.ones(len(norm_nL), dtype=torch.bool)
        return (norm_nL <= torch.tensor(self.thresholds)).all(-1)

    def late(self, position_n: Tensor) -> Tensor:
        """Tokens, bool [n], that do not belong to the skipped start of their row."""
        return position_n >= self.skip_first


def listed(path: Path, shards: Any) -> list[Shard]:
    """The shards that a manifest lists; UserError if it lists something else."""
    try:
        return [Shard(**shard) for shard in shards]
    except TypeError as error:
        raise UserError(f"{path}: shards is no list of them ({error}); run the activations step again") from None


def read_manifest(path: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """The manifest as JSON; UserError if it is missing, cut, or lacks a key that is ``needed``."""
    manifest = read_object(path, "; run the activations step first", "run the activations step again")
    if lacking := [key for key in needed if key not in manifest]:
        raise UserError(
            f"{path} is no manifest of activations, or of an older version: it lacks {', '.join(lacking)}; run the"
            " activations step again"
        )
    return manifest


class View:
    """Kept tokens of a choice of rows, numbered 0..tokens−1 in stored order."""

    def __init__(self, activations: Activations, kept: list[Tensor]):
        self.activations = activations
        self.kept = kept
        """Places of the kept tokens in each shard, int32."""
        self.counts = torch.tensor([len(places) for places in kept])
        self.starts = torch.cumsum(self.counts, 0) - self.counts
        self.tokens = int(self.counts.sum())
        self._levels_on: dict[str, list[Tensor]] = {}

    def gather(self, index_B: Tensor, device: str | torch.device = "cpu") -> Tensor:
        """Raw activations x_BLD of the tokens ``index_B`` (int64, any order), of type `dtype`, on ``device``.

        To CUDA they go through pinned memory as they are stored, and are not waited for: use them on the stream that
        is current here.
        """
        order_B = torch.argsort(index_B)
        sorted_B = index_B[order_B]
        shard_B = torch.searchsorted(self.starts + self.counts, sorted_B, right=True)
        shards, sizes = (t.tolist() for t in torch.unique_consecutive(shard_B, return_counts=True))
        picks = [
            (shard, self.kept[shard][part - self.starts[shard]])
            for shard, part in zip(shards, sorted_B.split(sizes), strict=True)
        ]
        x_BLD = self._pick("x", picks, len(index_B), device)
        if self.quantised:
            which_B = shard_B.to(device, non_blocking=True)
            centre_BSD, spread_BSD = (level.index_select(0, which_B) for level in self._levels(device))
            x_BLD = decode(x_BLD, self._pick("scale", picks, len(index_B), device), centre_BSD, spread_BSD)
        if not torch.equal(sorted_B, index_B):
            x_BLD = torch.empty_like(x_BLD).index_copy_(0, order_B.to(device, non_blocking=True), x_BLD)
        return x_BLD

    def _pick(self, name: str, picks: list[tuple[int, Tensor]], count: int, device: str | torch.device) -> Tensor:
        """Rows of a stored tensor at (shard, places), one after the other, on ``device``."""
        like = self.activations.tensors[0][name]
        pinned = torch.device(device).type == "cuda"
        rows_BE = torch.empty(count, like[0].numel(), dtype=like.dtype, pin_memory=pinned)
        first = 0
        for shard, places in picks:
            stored = self.activations.tensors[shard][name].flatten(1)
            torch.index_select(stored, 0, places, out=rows_BE[first : first + len(places)])
            first += len(places)
        return rows_BE.to(device, non_blocking=True).view(-1, *like.shape[1:])

    def _levels(self, device: str | torch.device) -> list[Tensor]:
        """Centre and spread of every shard, [shards, S, D] each, on ``device``."""
        key = str(device)
        if key not in self._levels_on:
            tensors = self.activations.tensors
            stacked = [torch.stack([shard[name] for shard in tensors]) for name in ("centre", "spread")]
            self._levels_on[key] = [level.to(device) for level in stacked]
        return self._levels_on[key]

    def blocks(self, batch: int) -> Iterator[Block]:
        """All tokens in stored order, at most ``batch`` at a time; a block does not cross shards."""
        for tensors, kept in zip(self.activations.tensors, self.kept, strict=True):
            for places in kept.split(batch) if len(kept) else ():
                x_BLD = tensors["x"][places]
                if self.quantised:
                    x_BLD = decode(x_BLD, tensors["scale"][places], tensors["centre"], tensors["spread"])
                yield Block(x_BLD, *(tensors[name][places] for name in ("row", "position", "token", "role")))

    @property
    def quantised(self) -> bool:
        """Whether 8 bits are stored."""
        return self.activations.tensors[0]["x"].dtype == torch.int8

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations that are given: the stored one, or float32 of 8 bits."""
        return torch.float32 if self.quantised else self.activations.tensors[0]["x"].dtype
