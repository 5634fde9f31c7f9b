import json

import pytest
import torch
from made import make_dictionary
from safetensors.torch import load_file, save_file

from crossdiff.dictionaries import load, save
from crossdiff.errors import UserError


@pytest.fixture
def folder(tmp_path):
    dictionary = make_dictionary("crosscoder")
    save(dictionary, tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae", "chat-sae", "base-sae"])
def test_round_trip_bit_for_bit(tmp_path, kind):
    before = make_dictionary(kind)
    before.about.update({"seed": 3, "recipe": {"k": 32}})
    save(before, tmp_path)
    after = load(tmp_path)
    assert (after.kind, after.score, after.about) == (before.kind, before.score, before.about)
    for name, tensor in before.tensors.items():
        assert torch.equal(after.tensors[name], tensor), name
    x = torch.randn(7, before.shape[0], 6)
    assert torch.equal(after.encode(x), before.encode(x))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dictionary.json", "dictionary.safetensors"]


def test_canonical_names_and_shapes(folder):
    tensors = load_file(folder / "dictionary.safetensors")
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == {
        "encoder": [2, 6, 11], "encoder_bias": [11], "decoder": [2, 11, 6], "decoder_bias": [2, 6],
        "threshold": [], "mean": [2, 6], "scale": [],
    }  # fmt: skip


def change_tensors(folder, change):
    tensors = load_file(folder / "dictionary.safetensors")
    change(tensors)
    save_file(tensors, folder / "dictionary.safetensors")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("threshold"), "lacks threshold"),
        (lambda t: t.update(extra=torch.ones(2)), "unknown extra"),
        (lambda t: t.update(encoder=t["encoder"].transpose(1, 2).contiguous()), r"encoder is .*\[2, 11, 6\]"),
        (lambda t: t.update(mean=t["mean"].double()), "mean is torch.float64"),
        (lambda t: t["decoder"].fill_(torch.nan), "decoder holds values that are not finite"),
    ],
)
def test_wrong_tensors_are_refused(folder, change, told):
    change_tensors(folder, change)
    with pytest.raises(UserError, match=told):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("format", 99, "format 99"),
        ("kind", "transcoder", "kind 'transcoder'"),
        ("score", "max", "score 'max'"),
        ("shape", {"models": 2}, "shape must give"),
        ("shape", {"models": 1, "width": 6, "latents": 11}, "cannot have models = 1"),
        ("shape", {"models": 2, "width": 6, "latents": 12}, "dictionary.json says"),
    ],
)
def test_wrong_json_is_refused(folder, key, value, told):
    document = json.loads((folder / "dictionary.json").read_text())
    (folder / "dictionary.json").write_text(json.dumps(document | {key: value}))
    with pytest.raises(UserError, match=told):
        load(folder)


def test_missing_and_cut_files_are_refused(folder):
    whole = (folder / "dictionary.safetensors").read_bytes()
    (folder / "dictionary.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        load(folder)
    (folder / "dictionary.safetensors").unlink()
    with pytest.raises(UserError, match="is missing"):
        load(folder)
    (folder / "dictionary.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        load(folder)
    (folder / "dictionary.json").write_text("[1]")
    with pytest.raises(UserError, match="must hold a JSON object, not a list"):
        load(folder)
    with pytest.raises(UserError, match="is missing"):
        load(folder / "nowhere")
