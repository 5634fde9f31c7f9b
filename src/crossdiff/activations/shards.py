"""Shards on disk: written whole, with a sidecar that says what they hold and for which settings.

An interrupted extraction goes on at the first shard that is missing or was made with other settings.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from crossdiff.activations import quantise
from crossdiff.errors import UserError
from crossdiff.provenance.files import sha256_file, whole

TENSORS = ("x", "norm", "row", "position", "token", "role")


@dataclass(frozen=True)
class Shard:
    """A shard as the manifest lists it."""

    file: str
    tokens: int
    first_row: int
    rows: int
    bytes: int
    sha256: str


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.safetensors"


def write_shard(folder: Path, number: int, rows: range, tensors: dict[str, Tensor], fingerprint: str) -> Shard:
    """Write a shard and then its sidecar, each whole."""
    path = folder / shard_name(number)
    sidecar = path.with_suffix(".json")
    sidecar.unlink(missing_ok=True)
    with whole(path) as temporary:
        save_file(tensors, temporary)
    row_n = tensors["row"]
    shard = Shard(path.name, len(row_n), int(row_n[0]), len(rows), path.stat().st_size, sha256_file(path))
    with whole(sidecar) as temporary:
        temporary.write_text(json.dumps({**asdict(shard), "fingerprint": fingerprint}) + "\n")
    return shard


def finished(folder: Path, number: int, fingerprint: str) -> Shard | None:
    """The shard if an earlier run wrote it whole with these settings and it is still as it was; else None."""
    path = folder / shard_name(number)
    try:
        told = json.loads(path.with_suffix(".json").read_text())
        if told.pop("fingerprint") != fingerprint:
            return None
        shard = Shard(**told)
        return shard if path.stat().st_size == shard.bytes and sha256_file(path) == shard.sha256 else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def drop_others(folder: Path, shards: list[Shard]) -> None:
    """Remove shards, sidecars and unfinished files of earlier runs that are not among ``shards``."""
    keep = {name for shard in shards for name in (shard.file, Path(shard.file).with_suffix(".json").name)}
    for pattern in ("shard-*.safetensors", "shard-*.json", ".shard-*.part"):
        for path in folder.glob(pattern):
            if path.name not in keep:
                path.unlink()


def open_shard(folder: Path, shard: Shard, models: int, width: int, check: bool = False) -> dict[str, Tensor]:
    """Tensors of a shard, mapped from disk and read when used; UserError if the file is not what the manifest says."""
    path = folder / shard.file
    advice = "delete it and run the activations step again"
    if not path.is_file():
        raise UserError(f"{path}: the shard is missing; run the activations step again")
    if path.stat().st_size != shard.bytes:
        raise UserError(f"{path}: the shard has {path.stat().st_size:,} bytes instead of {shard.bytes:,}; {advice}")
    if check and sha256_file(path) != shard.sha256:
        raise UserError(f"{path}: the shard's content is not what was written (sha256 differs); {advice}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in TENSORS}
            if tensors["x"].dtype == torch.int8:
                tensors |= {name: file.get_tensor(name) for name in quantise.TENSORS}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: the shard cannot be read ({error}); {advice}") from error
    if tensors["x"].shape != (shard.tokens, models, width):
        shape = list(tensors["x"].shape)
        raise UserError(f"{path}: activations of shape {shape}, not {[shard.tokens, models, width]}; {advice}")
    if tensors["x"].dtype == torch.int8 and not _sound(tensors, width):
        raise UserError(f"{path}: scale, centre or spread of the 8-bit activations is damaged; {advice}")
    return tensors


def _sound(tensors: dict[str, Tensor], width: int) -> bool:
    """Whether what turns 8 bits back into activations can do so."""
    scale_nS, centre_SD, spread_SD = (tensors[name] for name in quantise.TENSORS)
    if scale_nS.shape != tensors["x"].shape[:2] or not centre_SD.shape == spread_SD.shape == (2, width):
        return False
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in (scale_nS, centre_SD, spread_SD))
    return finite and bool((scale_nS >= 0).all()) and bool((spread_SD > 0).all())
