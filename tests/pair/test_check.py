"""Each way in which two models cannot be compared ends in one message that names the config key."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import padded
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from crossdiff.errors import UserError
from crossdiff.pair import __main__ as step
from crossdiff.pair.check import checked
from crossdiff.pair.load import Pair
from crossdiff.parsing import dump
from crossdiff.parts.pair import Pair as Settings
from crossdiff.parts.pair import Source


@pytest.fixture
def folders(tiny_pairs: Callable, tmp_path: Path) -> dict[str, Path]:
    """Copies of the tiny Llama pair that a test may spoil."""
    pair = tiny_pairs("llama")
    return {which: Path(shutil.copytree(getattr(pair, which), tmp_path / which)) for which in ("base", "chat")}


def settings(folders: dict[str, Path], **chat: str) -> Settings:
    return Settings(
        name="tiny",
        base=Source(path=str(folders["base"])),
        chat=Source(path=str(folders["chat"]), **chat),
        dtype="float32",
    )


def check(folders: dict[str, Path], layer: int = 2, **chat: str) -> Pair:
    return checked(settings(folders, **chat), layer, {})


def test_good_pairs_of_each_family(tiny_pair, tmp_path: Path) -> None:
    folders = {which: tmp_path / which for which in ("base", "chat")}
    expected = [padded(getattr(tiny_pair, which), folder) for which, folder in folders.items()][1]
    step.main(dump(settings(folders)), 2, tmp_path)
    found = Pair.read(tmp_path / "pair.json")
    assert (found.layers, found.width, found.bos) == (4, 32, 0)
    assert found.base.revision != found.chat.revision
    assert json.loads((tmp_path / "run.json").read_text())["results"]["width"] == 32
    model = found.model("chat")
    ids = torch.arange(5, 25)[None]
    torch.testing.assert_close(model(ids).logits, expected(ids).logits)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert found.tokenizer().chat_template == AutoTokenizer.from_pretrained(tiny_pair.chat).chat_template
    capped = getattr(model.config, "attn_logit_softcapping", None) is not None
    assert model.config._attn_implementation == ("eager" if capped else "crossdiff")


def test_folders_of_made_models_replace_the_sources(folders: dict[str, Path]) -> None:
    pair = Settings(name="tiny", base=Source(path="some/model.gguf"), chat=Source(planted={}))
    found = checked(pair, 0, {"base": folders["base"], "chat": folders["chat"]})
    assert found.chat.path == str(folders["chat"])
    assert found.base.source == "some/model.gguf"
    with pytest.raises(UserError, match=r"pair\.base: this model has to be made first"):
        checked(pair, 0, {"chat": folders["chat"]})


def test_revision_follows_the_weights(folders: dict[str, Path]) -> None:
    before = check(folders)
    model = AutoModelForCausalLM.from_pretrained(folders["chat"])
    with torch.no_grad():
        model.model.norm.weight += 1
    model.save_pretrained(folders["chat"])
    after = check(folders)
    assert before.base.revision == after.base.revision
    assert before.chat.revision != after.chat.revision


@pytest.mark.parametrize("layer", [4, 99, -1])
def test_layer_that_does_not_exist(folders: dict[str, Path], layer: int) -> None:
    with pytest.raises(
        UserError, match=rf"activations\.layer: block {layer} does not exist; the models have 4, 0 to 3"
    ):
        check(folders, layer)


def test_models_of_different_shape(folders: dict[str, Path]) -> None:
    config = AutoConfig.from_pretrained(folders["chat"])
    config.num_hidden_layers = 3
    config.save_pretrained(folders["chat"])
    with pytest.raises(UserError, match=r"pair\.chat: the base has 4 blocks, the chat model 3"):
        check(folders)


def test_tokenizers_that_differ(folders: dict[str, Path]) -> None:
    file = folders["chat"] / "tokenizer.json"
    data = json.loads(file.read_text())
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"pair\.chat: the tokenizers differ in 2 tokens, first '[ab]'"):
        check(folders)


def test_tokenizers_that_cut_differently(folders: dict[str, Path]) -> None:
    file = folders["chat"] / "tokenizer.json"
    data = json.loads(file.read_text())
    data["model"]["merges"] = data["model"]["merges"][:1]
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"pair\.chat: the tokenizers cut the same text differently"):
        check(folders)


def test_tokenizer_larger_than_the_embedding(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(["<new>"])
        tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"pair\.base: the tokenizer has ids up to \d+, but the model embeds only"):
        check(folders)


def test_missing_template_and_one_from_a_file(folders: dict[str, Path], tmp_path: Path) -> None:
    template = folders["chat"] / "chat_template.jinja"
    kept = template.rename(tmp_path / "other.jinja")
    with pytest.raises(UserError, match=r"pair\.chat\.chat_template: the tokenizer of .* has no chat template"):
        check(folders)
    found = check(folders, chat_template=str(kept))
    assert found.tokenizer().chat_template == kept.read_text()
    with pytest.raises(UserError, match=r"pair\.chat\.chat_template: there is no file"):
        check(folders, chat_template=str(tmp_path / "none.jinja"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{% for m in messages %}{{ m.content }", "cannot render"),
        ("{{ raise_exception('never') }}", "cannot render a conversation: never"),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "leaves out"),
    ],
)
def test_bad_template(folders: dict[str, Path], text: str, message: str) -> None:
    (folders["chat"] / "chat_template.jinja").write_text(text)
    with pytest.raises(UserError, match=rf"pair\.chat\.chat_template: it .*{message}"):
        check(folders)


@pytest.mark.parametrize("which", ["base", "chat"])
def test_corrupt_weights(folders: dict[str, Path], which: str) -> None:
    file = folders[which] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"pair\.{which}\.path: .* is not a whole safetensors file"):
        check(folders)
    file.write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"is not a whole safetensors file"):
        check(folders)
    file.unlink()
    with pytest.raises(UserError, match=rf"pair\.{which}\.path: there is no model\.safetensors"):
        check(folders)


def test_shards(folders: dict[str, Path]) -> None:
    folder = folders["chat"]
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert check(folders).chat.revision
    lost = sorted(folder.glob("*.safetensors"))[1]
    lost.rename(folder / "elsewhere")
    with pytest.raises(UserError, match=rf"pair\.chat\.path: .* lacks {lost.name}"):
        check(folders)


def test_null_tune_is_named_where_the_config_names_it(folders: dict[str, Path], tmp_path: Path) -> None:
    (folders["chat"] / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"^calibration\.null_tune\.chat_template: "):
        step.main(dump(settings(folders)), 1, tmp_path / "pair", key="calibration.null_tune")


def test_missing_or_corrupt_small_files(folders: dict[str, Path]) -> None:
    (folders["base"] / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"pair\.base\.path: no readable config\.json"):
        check(folders)
    shutil.copy(folders["chat"] / "config.json", folders["base"])
    (folders["base"] / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"pair\.base\.path: no readable tokenizer"):
        check(folders)


def test_missing_folder(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"pair\.chat\.path: .*/nowhere is neither a folder here nor a hub id"):
        check(folders | {"chat": folders["chat"] / "nowhere"})
    with pytest.raises(UserError, match=r"pair\.chat\.path: no/where \(revision main\) is neither .* hub cache"):
        check(folders | {"chat": Path("no/where")})


def test_revision_of_a_folder(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"pair\.chat\.revision: .* leave it out"):
        check(folders, revision="main")


def test_failed_check_leaves_no_pair_json(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "pair"
    step.main(dump(settings(folders)), 1, out)
    with pytest.raises(UserError):
        step.main(dump(settings(folders)), 9, out)
    assert list(out.iterdir()) == []
    with pytest.raises(UserError, match=r"pair\.json is missing; make it with"):
        Pair.read(out / "pair.json")


def test_replaced_ids_reach_pair_json_and_must_be_embedded(folders: dict[str, Path]) -> None:
    pair = settings(folders)
    found = checked(pair.model_copy(update={"base": Source(path=str(folders["base"]), replace_ids={7: 9})}), 2, {})
    assert (found.base.replace, found.chat.replace) == ({"7": 9}, {})
    wrong = pair.model_copy(update={"base": Source(path=str(folders["base"]), replace_ids={7: 999})})
    with pytest.raises(UserError, match=r"pair\.base\.replace_ids: 7 is to be read as 999, .* embeds only 300"):
        checked(wrong, 2, {})
