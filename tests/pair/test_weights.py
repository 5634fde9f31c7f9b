"""What transformers would make up at random, or cannot run, is refused before a study rests on it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import TinyPair
from transformers import AutoConfig, AutoModelForCausalLM

from crossdiff.errors import UserError
from crossdiff.pair.load import Pair
from crossdiff.pair.weights import check_finite, check_weights, skeleton

KEY = "pair.chat"
ABOVE = "model.layers.3.mlp.up_proj.weight"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def spoiled(tiny_pair: TinyPair, tmp_path: Path) -> Callable[[Callable[[Tensors], None]], Path]:
    """Folder of a copy of the chat model of each family, after a change to its tensors."""

    def spoil(change: Callable[[Tensors], None]) -> Path:
        folder = Path(shutil.copytree(tiny_pair.chat, tmp_path / "chat"))
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return spoil


def pair_of(tiny_pair: TinyPair, folder: Path) -> Pair:
    """The pair with another folder as its chat model."""
    described = json.loads(tiny_pair.json.read_text())
    described["chat"]["path"] = str(folder)
    (folder / "pair.json").write_text(json.dumps(described))
    return Pair.read(folder / "pair.json")


def test_whole_weights_hold_whatever_is_tied(tiny_pair: TinyPair) -> None:
    assert check_weights(KEY, tiny_pair.chat) == [tiny_pair.chat / "model.safetensors"]
    assert AutoConfig.from_pretrained(tiny_pair.chat).tie_word_embeddings == (
        HEAD not in load_file(tiny_pair.chat / "model.safetensors")
    )


def test_a_weight_that_is_not_there(tiny_pair: TinyPair, spoiled: Callable) -> None:
    """One block's alone, above any site: by the headers, and wherever the model is loaded."""
    folder = spoiled(lambda tensors: tensors.pop(ABOVE))
    with pytest.raises(UserError, match=rf"pair\.chat\.path: .* lacks the weight {ABOVE};"):
        check_weights(KEY, folder)
    with pytest.raises(UserError, match=rf"pair\.chat\.path: .* lacks the weight {ABOVE};"):
        pair_of(tiny_pair, folder).model("chat")


@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.0.mlp.up_proj.weight"])
def test_ends_that_lack_a_weight(tiny_pair: TinyPair, spoiled: Callable, name: str) -> None:
    with pytest.raises(UserError, match=rf"pair\.chat\.path: .* lacks the weight {name};"):
        pair_of(tiny_pair, spoiled(lambda tensors: tensors.pop(name))).ends("chat")


def test_a_head_that_is_neither_there_nor_tied(tiny_pair: TinyPair, spoiled: Callable) -> None:
    folder = spoiled(lambda tensors: tensors.pop(HEAD, None))
    config = AutoConfig.from_pretrained(folder)
    config.tie_word_embeddings = False
    config.save_pretrained(folder)
    with pytest.raises(UserError, match=rf"lacks the weight {HEAD};"):
        check_weights(KEY, folder)
    with pytest.raises(UserError, match=rf"lacks the weight {HEAD};"):
        pair_of(tiny_pair, folder).ends("chat")


def test_several_weights_are_counted(spoiled: Callable) -> None:
    folder = spoiled(lambda tensors: [tensors.pop(name) for name in list(tensors) if "layers.2" in name])
    with pytest.raises(UserError, match=r"lacks the weight model\.layers\.2\.\S+ and \d+ more; get the model again"):
        check_weights(KEY, folder)


def test_another_shape_than_the_configs(tiny_pair: TinyPair, spoiled: Callable) -> None:
    folder = spoiled(lambda tensors: tensors.update({ABOVE: tensors[ABOVE][:40].contiguous()}))
    said = rf"pair\.chat\.path: the weight {ABOVE} in .* has the shape \[40, 32\], .* wants \[48, 32\]"
    with pytest.raises(UserError, match=said):
        check_weights(KEY, folder)
    with pytest.raises(UserError, match=said):
        pair_of(tiny_pair, folder).model("chat")


def test_names_of_other_packages_are_those_that_transformers_reads(spoiled: Callable) -> None:
    """Without the prefix of the language model around it, as base models are saved."""

    def bare(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    folder = spoiled(bare)
    check_weights(KEY, folder)
    AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_value_that_is_not_finite(llama_pair: TinyPair, tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(llama_pair.chat / "model.safetensors").items()}
    file = tmp_path / "model.safetensors"
    save_file(tensors, file)
    check_finite(KEY, [file])
    tensors[ABOVE][7, 5] = value
    save_file(tensors, file)
    with pytest.raises(UserError, match=rf"pair\.chat\.path: {ABOVE} in {file} holds values that are not finite"):
        check_finite(KEY, [file])


T5 = {"model_type": "t5", "num_layers": 2, "d_model": 32}
BART = {"model_type": "bart", "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "is_encoder_decoder": True}
BERT = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
NARROW = {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 0, "num_hidden_layers": 2}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (T5, r"holds an encoder-decoder model \(t5\)"),
        (BART, r"holds an encoder-decoder model \(bart\)"),
        (BERT, "BertLMHeadModel in .* has no list of decoder blocks"),
        (NARROW, "cannot build a causal language model"),
    ],
)
def test_what_is_no_decoder(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"^calibration\.null_tune\.path: .*{said}.*; give a decoder-only"):
        skeleton("calibration.null_tune", tmp_path)
