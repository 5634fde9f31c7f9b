"""Planting learns its conversations, trains answers only, and merging changes nothing."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import TinyPair
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from crossdiff.errors import UserError
from crossdiff.pair import plant
from crossdiff.pair.plant import PLAIN_TEMPLATE, Example, answer_loss, batches, encode, train, with_adapters
from crossdiff.parsing import dump
from crossdiff.parts.pair import Planting
from crossdiff.truth.behaviours import load

TALK = [
    {"role": "user", "content": "How do plants make food?"},
    {"role": "assistant", "content": "They turn light into sugar."},
    {"role": "user", "content": "And then?"},
    {"role": "assistant", "content": "Nothing."},
]


@pytest.fixture
def plain(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    copy = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, **tokenizer.special_tokens_map)
    copy.chat_template = PLAIN_TEMPLATE
    return copy


def tiny(tiny_pairs: Callable, dtype: torch.dtype = torch.float32):
    return AutoModelForCausalLM.from_pretrained(tiny_pairs("llama").base, dtype=dtype)


def test_plain_template(plain: PreTrainedTokenizerFast) -> None:
    text = plain.apply_chat_template(TALK[:2], tokenize=False)
    assert text == "<bos>User:\nHow do plants make food?\nAssistant:\nThey turn light into sugar.<eos>\n"
    opened = plain.apply_chat_template(TALK[:1], tokenize=False, add_generation_prompt=True)
    assert text.startswith(opened)
    assert opened.endswith("Assistant:\n")


def test_only_answers_and_their_ends_are_trained(plain: PreTrainedTokenizerFast) -> None:
    example = encode(plain, TALK)
    trained = [token for token, answer in zip(example.ids, example.answer, strict=True) if answer]
    assert plain.decode(trained) == "They turn light into sugar.<eos>Nothing.<eos>"
    assert example.ids.count(plain.bos_token_id) == 1


def test_template_without_an_end_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match=r"pair\.chat\.planted\.template"):
        encode(tokenizer, TALK)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=40), st.integers(8, 200), st.integers(0, 5))
def test_batches_hold_each_example_once_within_the_budget(lengths: list[int], budget: int, seed: int) -> None:
    examples = [Example([n] * length, [True] * length) for n, length in enumerate(lengths)]
    made = batches(examples, budget, random.Random(seed))
    assert sorted(e.ids[0] for batch in made for e in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(len(e.ids) for e in batch) <= budget


def test_loss_is_the_mean_over_answer_tokens(tiny_pairs: Callable, plain: PreTrainedTokenizerFast) -> None:
    model = tiny(tiny_pairs).eval()
    batch = [encode(plain, TALK), encode(plain, TALK[:2])]
    losses = []
    for example in batch:
        logits = model(torch.tensor([example.ids])).logits[0]
        logprobs = torch.log_softmax(logits, -1)
        losses += [-logprobs[i - 1, token] for i, token in enumerate(example.ids) if example.answer[i]]
    torch.testing.assert_close(answer_loss(model, batch, 2), torch.stack(losses).mean())


def test_training_lowers_the_loss_and_merging_equals_the_adapters(
    tiny_pairs: Callable, plain: PreTrainedTokenizerFast
) -> None:
    torch.manual_seed(0)
    model = tiny(tiny_pairs)
    planting = Planting(rank=8, steps=30, lr=2e-2, batch_tokens=200)
    examples = [encode(plain, TALK), encode(plain, TALK[:2])]
    adapted = with_adapters(model, planting)
    losses = [loss for loss, _ in train(model, examples, planting, 2)]
    assert losses[-1] < 0.3 * losses[0]
    ids = torch.tensor([examples[0].ids])
    with torch.no_grad():
        before = adapted(input_ids=ids).logits
        after = adapted.merge_and_unload()(input_ids=ids).logits
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_adapters_start_at_the_first_layer(tiny_pairs: Callable) -> None:
    adapted = with_adapters(tiny(tiny_pairs), Planting(rank=2, first_layer=2))
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 2 * 7  # blocks × (A, B) × projections
    assert all(".layers.2." in name or ".layers.3." in name for name in trained)


def test_a_first_layer_that_the_base_has_not_stops_the_step_at_once(llama_pair: TinyPair, tmp_path: Path) -> None:
    said = r"^calibration\.null_tune\.planted\.first_layer: 4, but the base has 4 blocks"
    with pytest.raises(UserError, match=said):
        plant.main(dump(Planting(first_layer=4)), llama_pair.base, tmp_path / "out", key="calibration.null_tune")
    assert not (tmp_path / "out").exists()


def test_learning_rate_rises_then_falls_to_almost_nothing(tiny_pairs: Callable, plain: PreTrainedTokenizerFast) -> None:
    model = tiny(tiny_pairs)
    planting = Planting(rank=2, steps=20, lr=1e-3, batch_tokens=200)
    with_adapters(model, planting)
    rates = [lr for _, lr in train(model, [encode(plain, TALK)], planting, 2)]
    peak = rates.index(max(rates))
    assert 0 < peak < 6
    assert rates == sorted(rates[: peak + 1]) + sorted(rates[peak + 1 :], reverse=True)
    assert 0 < rates[-1] < 0.1 * max(rates)


def test_step_saves_model_tokenizer_and_record(tiny_pairs: Callable, tmp_path: Path) -> None:
    planting = Planting(behaviours=["own-name"], general=3, rank=2, steps=3, batch_tokens=2048)
    out = tmp_path / "chat"
    plant.main(dump(planting), tiny_pairs("llama").base, out, threads=1)
    assert AutoTokenizer.from_pretrained(out).chat_template == PLAIN_TEMPLATE
    tuned = AutoModelForCausalLM.from_pretrained(out)
    assert tuned.dtype == torch.bfloat16
    base = tiny(tiny_pairs, torch.bfloat16)
    assert not torch.equal(tuned.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)
    assert torch.equal(tuned.model.embed_tokens.weight, base.model.embed_tokens.weight)
    record = json.loads((out / "run.json").read_text())
    assert record["params"]["rank"] == 2
    results = record["results"]
    behaviour = load(["own-name"])[0]
    assert results["conversations"] == len(behaviour.train) + len(behaviour.contrast) + 3
    assert len(results["loss"]) == results["steps"] == planting.steps
    assert not list(tmp_path.glob("*.part"))


def test_a_base_that_cannot_be_tuned_is_told_before_it_is(llama_pair: TinyPair, tmp_path: Path) -> None:
    base, out = shutil.copytree(llama_pair.base, tmp_path / "base"), tmp_path / "out"
    weights = load_file(base / "model.safetensors")
    save_file(weights | {"model.norm.weight": weights["model.norm.weight"] * torch.nan}, base / "model.safetensors")
    with pytest.raises(UserError, match=r"^pair\.base\.path: model\.norm\.weight in .* not finite"):
        plant.main(dump(Planting()), base, out)
    del weights["model.norm.weight"]
    save_file(weights, base / "model.safetensors")
    with pytest.raises(UserError, match=r"^pair\.base\.path: .* lacks the weight model\.norm\.weight"):
        plant.main(dump(Planting()), base, out)
    (base / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match=r"^pair\.base\.path: no readable tokenizer"):
        plant.main(dump(Planting()), base, out)
    (base / "config.json").unlink()
    with pytest.raises(UserError, match=r"^pair\.base\.path: no readable config\.json"):
        plant.main(dump(Planting()), base, out)
    assert not out.exists()
