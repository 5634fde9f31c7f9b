"""A model cut above the site reads the same stream, from a part of the weights."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from crossdiff.errors import UserError
from crossdiff.pair.blocks import decoder_layers, read_site
from crossdiff.pair.load import Pair


def inputs():
    """Three rows of 20, 13 and 1 tokens, longer than the sliding windows."""
    ids_BT = torch.randint(5, 300, (3, 20), generator=torch.Generator().manual_seed(0))
    mask_BT = torch.arange(20) < torch.tensor([20, 13, 1])[:, None]
    return ids_BT * mask_BT, mask_BT.long()


@pytest.mark.parametrize("layer", range(4))
@pytest.mark.parametrize("which", ["base", "chat"])
def test_its_stream_is_the_whole_models(tiny_pair, which, layer):
    pair = Pair.read(tiny_pair.json)
    lower, model = pair.lower(which, layer), pair.model(which)
    assert len(decoder_layers(lower)) == layer + 1
    assert not lower.training
    ids_BT, mask_BT = inputs()
    for mask in (None, mask_BT):
        assert torch.equal(read_site(lower, layer, ids_BT, mask), read_site(model, layer, ids_BT, mask))


def test_blocks_above_and_the_head_are_not_held_and_not_reported(tiny_pair, caplog, capfd):
    lower = Pair.read(tiny_pair.json).lower("base", 1)
    names = [name for name, _ in lower.named_parameters()]
    assert not [name for name in names if "lm_head" in name or "layers.2" in name or "layers.3" in name]
    assert "UNEXPECTED" not in caplog.text + "".join(capfd.readouterr())


def test_weights_above_are_not_read_from_disk(llama_pair, tmp_path):
    """A file whose upper blocks and head are gone loads as well; one that lacks a block below is refused."""
    folder = shutil.copytree(llama_pair.base, tmp_path / "base")
    described = json.loads(llama_pair.json.read_text())
    described["base"]["path"] = str(folder)
    (tmp_path / "pair.json").write_text(json.dumps(described))
    weights = load_file(folder / "model.safetensors")

    def keep(*dropped):
        kept = {name: tensor for name, tensor in weights.items() if not any(part in name for part in dropped)}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        with safe_open(folder / "model.safetensors", "pt") as file:
            assert len(file.keys()) < len(weights)
        return Pair.read(tmp_path / "pair.json").lower("base", 1)

    lower = keep("layers.2", "layers.3", "lm_head")
    ids_BT, _ = inputs()
    whole = AutoModelForCausalLM.from_pretrained(llama_pair.base)
    assert torch.equal(read_site(lower, 1, ids_BT), read_site(whole, 1, ids_BT))
    with pytest.raises(UserError, match=r"pair\.base\.path: .* lacks the weight layers\.1\."):
        keep("layers.1.mlp.up_proj")


def test_a_block_that_does_not_exist(llama_pair):
    with pytest.raises(UserError, match=r"activations\.layer: block 4 .* the chat model has blocks 0 to 3"):
        Pair.read(llama_pair.json).lower("chat", 4)


def test_head_reads_a_contiguous_stream(llama_pair):
    """The last position of several rows is a view, of which the product would copy the weight for each row."""
    model = Pair.read(llama_pair.json).model("chat")
    seen = []
    model.get_output_embeddings().register_forward_hook(lambda head, given, out: seen.append(given[0].is_contiguous()))
    model(input_ids=torch.tensor([[0, 5, 6], [0, 7, 8]]), logits_to_keep=1)
    assert seen == [True]


def test_a_model_reads_other_ids_in_place_of_those_that_are_replaced(tiny_pair, tmp_path):
    described = json.loads(tiny_pair.json.read_text())
    described["base"]["replace"] = {"7": 9, "9": 11}
    (tmp_path / "pair.json").write_text(json.dumps(described))
    plain, other = Pair.read(tiny_pair.json), Pair.read(tmp_path / "pair.json")
    rows, read = torch.tensor([[5, 7, 9, 11, 8]]), torch.tensor([[5, 9, 11, 11, 8]])
    for load in (lambda pair: pair.model("base"), lambda pair: pair.lower("base", 1)):
        assert torch.equal(read_site(load(other), 1, rows), read_site(load(plain), 1, read))
        assert not torch.equal(read_site(load(other), 1, rows), read_site(load(plain), 1, rows))
    assert torch.equal(other.model("chat")(rows).logits, plain.model("chat")(rows).logits)


def test_what_is_no_pair_json_is_told(llama_pair, tmp_path):
    file = tmp_path / "pair.json"
    with pytest.raises(UserError, match=r"pair\.json is missing; make it with python -m crossdiff\.pair"):
        Pair.read(file)
    for text, said in (
        ("", "is not valid JSON"),
        ("[]", "must hold a JSON object"),
        ("{}", "is no pair.json, or of another version; make it again"),
        (llama_pair.json.read_text()[:-30], "is not valid JSON"),
        (llama_pair.json.read_text().replace('"width"', '"breadth"'), "is no pair.json, or of another version"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=said):
            Pair.read(file)


def test_a_model_that_was_moved_is_told_before_it_is_loaded(llama_pair, tmp_path):
    described = json.loads(llama_pair.json.read_text())
    described["chat"]["path"] = str(tmp_path / "gone")
    (tmp_path / "pair.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"pair\.json: the chat model's folder .*gone is not there .*; move it back"):
        Pair.read(tmp_path / "pair.json")
