"""Views of stored activations, and shards that are not what the manifest says."""

import json

import pytest
import torch
from safetensors.torch import load_file
from stored import WIDTH, write

from crossdiff.activations.quantise import encode
from crossdiff.activations.shards import write_shard
from crossdiff.activations.store import Activations
from crossdiff.errors import UserError

LENGTHS = [[4, 7, 3], [9], [1, 1, 6, 2, 8]]


@pytest.fixture
def manifest(tmp_path):
    return write(tmp_path, LENGTHS)


def everything(manifest, name):
    return torch.cat([tensors[name] for tensors in Activations.open(manifest).tensors])


@pytest.mark.parametrize("sources", [None, ["a"], ["b"], ["b", "a"]])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_view_holds_the_rows_of_its_split_and_sources(manifest, split, sources):
    view = Activations.open(manifest).view(split, sources)
    row = everything(manifest, "row")
    wanted = (row % 3 == 2) == (split == "validation")
    wanted &= torch.isin(row % 2, torch.tensor([("a", "b").index(source) for source in sources or "ab"]))
    assert view.tokens == wanted.sum()
    blocks = list(view.blocks(4))
    for name in ("x", "row", "position", "token", "role"):
        field = {"x": "x_BLD"}.get(name, f"{name}_B")
        assert torch.equal(torch.cat([getattr(block, field) for block in blocks]), everything(manifest, name)[wanted])
    assert max(len(block.row_B) for block in blocks) <= 4
    assert torch.equal(view.gather(torch.arange(view.tokens)), everything(manifest, "x")[wanted])


def test_gather_in_any_order_and_more_than_once(manifest):
    view = Activations.open(manifest).view("train")
    index = torch.tensor([17, 0, 3, 3, view.tokens - 1, 5, 17])
    every = torch.cat([block.x_BLD for block in view.blocks(100)])
    found = view.gather(index)
    assert torch.equal(found, every[index])
    assert found.dtype == torch.bfloat16
    assert found.shape == (7, 2, WIDTH)


def test_tokens_above_a_threshold_of_either_model_are_left_out(tmp_path):
    norm = everything(write(tmp_path / "a", LENGTHS), "norm")
    thresholds = [float(norm[:, 0].median()), float(norm[:, 1].quantile(0.8))]
    manifest = write(tmp_path / "b", LENGTHS, thresholds)
    view = Activations.open(manifest).view("train")
    kept = (norm <= torch.tensor(thresholds)).all(-1) & (everything(manifest, "row") % 3 != 2)
    assert 0 < view.tokens == kept.sum() < len(kept)
    assert torch.equal(torch.cat([b.token_B for b in view.blocks(3)]), everything(manifest, "token")[kept])


def eight_bits(folder, lengths, **damage):
    """The store of `write` in 8 bits; ``damage`` replaces tensors of shard 1."""
    manifest = write(folder, lengths)
    entries = json.loads(manifest.read_text())
    for number, entry in enumerate(entries["shards"]):
        tensors = load_file(folder / entry["file"])
        tensors |= encode(tensors["x"]) | (damage if number == 1 else {})
        rows = range(entry["first_row"], entry["first_row"] + entry["rows"])
        entries["shards"][number] = vars(write_shard(folder, number, rows, tensors, "settings"))
    manifest.write_text(json.dumps(entries))
    return manifest


def test_eight_bits_are_read_as_float32(manifest, tmp_path):
    plain = Activations.open(manifest).view("train")
    view = Activations.open(eight_bits(tmp_path / "eight", LENGTHS)).view("train")
    assert view.dtype == torch.float32
    every = torch.cat([block.x_BLD for block in view.blocks(4)])
    index = torch.tensor([17, 0, 3, 3, view.tokens - 1, 5, 17])
    assert torch.equal(view.gather(index), every[index])
    torch.testing.assert_close(every, plain.gather(torch.arange(plain.tokens)).float(), rtol=0, atol=0.1)


@pytest.mark.parametrize(
    "damage",
    [
        {"scale": torch.full((9, 2), torch.nan)},
        {"scale": torch.ones(8, 2)},
        {"spread": torch.zeros(2, WIDTH)},
        {"centre": torch.full((2, WIDTH), torch.inf)},
        {"centre": torch.zeros(2, WIDTH + 1)},
    ],
)
def test_damaged_scales_are_named(tmp_path, damage):
    manifest = eight_bits(tmp_path, LENGTHS, **damage)
    with pytest.raises(UserError, match=r"shard-00001\.safetensors: scale, centre or spread .* is damaged; delete it"):
        Activations.open(manifest)


def test_unknown_split_and_source(manifest):
    activations = Activations.open(manifest)
    with pytest.raises(UserError, match=r"the activations have no split 'test'; there are train, validation"):
        activations.view("test")
    with pytest.raises(UserError, match="the activations have no source web; there are a, b"):
        activations.view("train", ["web"])


def shard(manifest):
    return manifest.parent / "shard-00001.safetensors"


def cut(manifest):
    shard(manifest).write_bytes(shard(manifest).read_bytes()[:-7])


def empty(manifest):
    shard(manifest).write_bytes(b"")


def scramble_header(manifest):
    data = bytearray(shard(manifest).read_bytes())
    data[10:40] = b"\xff" * 30
    shard(manifest).write_bytes(data)


def swap(manifest):
    other = shard(manifest).with_name("shard-00000.safetensors").read_bytes()
    entries = json.loads(manifest.read_text())
    entries["shards"][1]["bytes"] = len(other)
    manifest.write_text(json.dumps(entries))
    shard(manifest).write_bytes(other)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"has 7\d\d bytes instead of 7\d\d|bytes instead of"),
        (empty, "has 0 bytes"),
        (scramble_header, "cannot be read"),
        (swap, r"activations of shape \[14, 2, 5\], not \[9, 2, 5\]"),
    ],
)  # fmt: skip
def test_a_damaged_shard_is_named(manifest, damage, message):
    damage(manifest)
    with pytest.raises(UserError, match=rf"shard-00001\.safetensors: .*({message}).*delete it and run"):
        Activations.open(manifest)


def test_a_missing_shard(manifest):
    shard(manifest).unlink()
    with pytest.raises(UserError, match=r"shard-00001\.safetensors: the shard is missing"):
        Activations.open(manifest)


def test_a_changed_byte_is_found_on_request(manifest):
    data = bytearray(shard(manifest).read_bytes())
    data[-1] ^= 1
    shard(manifest).write_bytes(data)
    Activations.open(manifest)
    with pytest.raises(UserError, match=r"shard-00001\.safetensors: .*sha256 differs"):
        Activations.open(manifest, check=True)


def test_no_manifest_or_half_a_manifest(manifest):
    manifest.write_text(manifest.read_text()[:-20])
    with pytest.raises(UserError, match=r"manifest\.json is not valid JSON .*run the activations step again"):
        Activations.open(manifest)
    with pytest.raises(UserError, match=r"other\.json is missing; run the activations step first"):
        Activations.open(manifest.with_name("other.json"))


def test_the_skipped_start_of_each_row_is_left_out(manifest):
    stored = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(stored | {"skip_first": 3}))
    view = Activations.open(manifest).view("train")
    wanted = (everything(manifest, "row") % 3 != 2) & (everything(manifest, "position") >= 3)
    assert 0 < view.tokens == wanted.sum()
    assert torch.equal(torch.cat([block.token_B for block in view.blocks(4)]), everything(manifest, "token")[wanted])
