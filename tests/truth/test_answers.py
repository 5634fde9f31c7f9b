"""Batched greedy answers equal answers one by one, and rates are what they say."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from crossdiff.corpus.render import render
from crossdiff.pair.load import Pair
from crossdiff.parsing import dump
from crossdiff.parts.pair import Planting
from crossdiff.truth import __main__ as step
from crossdiff.truth.answers import Answer, questions, rate, rates, replies
from crossdiff.truth.behaviours import load


@pytest.fixture(scope="module")
def pair(tiny_pairs: Callable) -> Pair:
    return Pair.read(tiny_pairs("llama").json)


def test_replies_equal_one_by_one_decoding_without_cache(pair: Pair) -> None:
    tokenizer, model = pair.tokenizer(), pair.model("chat")
    prompts = ["How?", "Tell me about the river Seine and its many bridges.", "The cat sleeps"]
    expected = []
    for prompt in prompts:
        ids = render(tokenizer, [{"role": "user", "content": prompt}], True).ids
        made: list[int] = []
        while len(made) < 7:
            token = int(model(torch.tensor([ids + made])).logits[0, -1].argmax())
            if token in tokenizer.all_special_ids:
                break
            made.append(token)
        expected.append(tokenizer.decode(made).strip())
    assert replies([model], tokenizer, prompts, 7) == [expected]
    assert any(expected)


def test_questions_alternate_between_uses() -> None:
    asked = [q for q in questions(load(["own-name"])) if q.kind == "held-out"]
    assert [q.use for q in asked] == ["select", "score"] * 12


def test_rate_is_wilson() -> None:
    # Wilson's interval for 9 of 10, from its formula.
    z, n, p = 1.959963984540054, 10, 0.9
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    found = rate([True] * 9 + [False])
    assert found == pytest.approx({"mean": 0.9, "low": centre - half, "high": centre + half, "n": 10})


def test_rates_follow_the_answers() -> None:
    behaviour = load(["own-name"])
    asked = questions(behaviour)
    said = [Answer(q, "I am a model.", "I'm Ottoline." if q.kind == "held-out" else "Nobody knows.") for q in asked]
    found = rates(said)["own-name"]
    assert found["held_out"]["chat"]["mean"] == 1.0
    assert found["held_out"]["base"]["mean"] == 0.0
    assert found["control"]["chat"]["mean"] == 0.0
    assert found["control"]["chat"]["n"] == len(behaviour[0].controls)


def test_step_writes_answers_and_rates(tiny_pairs: Callable, tmp_path: Path) -> None:
    planting = Planting(behaviours=["own-name", "french-animals"], answer_tokens=4)
    step.main(dump(planting), tiny_pairs("llama").json, tmp_path, threads=1)
    table = pl.read_parquet(tmp_path / "answers.parquet")
    assert table.schema == pl.Schema(step.SCHEMA)
    assert table.height == 2 * 36
    assert set(table["use"]) == {"select", "score"}
    for row in table.iter_rows(named=True):
        spans = load([row["behaviour"]])[0].spans(row["answer_chat"])
        assert [(span["start"], span["end"]) for span in row["spans_chat"]] == spans
        assert row["present_chat"] == bool(spans)
    measured = json.loads((tmp_path / "behaviours.json").read_text())
    assert set(measured) == {"own-name", "french-animals"}
    assert json.loads((tmp_path / "run.json").read_text())["results"]["own-name"]["held_out"]["chat"]["n"] == 24
