"""Prompts answered by the chat model: which are asked, and what the rows hold."""

import json

import polars as pl
import pytest

from crossdiff.corpus.render import render
from crossdiff.corpus.roles import Role
from crossdiff.errors import UserError
from crossdiff.evidence.prepare import conversations
from crossdiff.evidence.prompts import asked
from crossdiff.evidence.prompts import main as answer
from crossdiff.evidence.settings import Evidence, Prompts
from crossdiff.parsing import dump
from crossdiff.truth.answers import replies

PROMPTS = ["Name a river.", "How do plants grow?", "What is bread?", "Say something."]


def user(text):
    return {"role": "user", "content": text}


def test_prompts_are_asked_once_if_they_are_short_enough(tokenizer):
    told = {"role": "assistant", "content": "Nothing."}
    system = {"role": "system", "content": "Be brief."}
    values = [
        "Name a river.", [user("What is bread?"), told, user("More?")], "  ", [told], "Name a river. ", "word " * 300,
        [system, user("Say something.")],
    ]  # fmt: skip
    found = list(asked(enumerate(values), tokenizer, 60))
    assert found == ["Name a river.", "What is bread?", "Say something."]
    length = len(render(tokenizer, [user("Name a river.")], True).ids)
    assert list(asked([(0, "Name a river.")], tokenizer, length)) == ["Name a river."]
    assert list(asked([(0, "Name a river.")], tokenizer, length - 1)) == []


def test_rows_are_the_chat_model_s_own_answers(llama_pair, tokenizer, tmp_path):
    pl.DataFrame({"prompt": PROMPTS}).write_parquet(tmp_path / "prompts.parquet")
    source = Prompts(path=str(tmp_path / "prompts.parquet"), column="prompt", new_tokens=6)
    answer(
        dump(Evidence(prompts=source, conversations=3)), llama_pair.json, context=1024, out=tmp_path / "out", threads=1
    )
    rows = pl.read_parquet(tmp_path / "out/rows.parquet")
    said = dict(zip(PROMPTS, replies([llama_pair.model("chat")], tokenizer, PROMPTS, 6)[0], strict=True))
    assert any(said.values())
    expected = [prompt for prompt in PROMPTS if said[prompt]][:3]
    assert json.loads((tmp_path / "out/run.json").read_text())["results"]["prompts"] == len(expected) == len(rows)
    found = {}
    for ids, roles in rows.select("ids", "roles").iter_rows():
        words = {
            role: tokenizer.decode([i for i, r in zip(ids, roles, strict=True) if r == role])
            for role in (Role.USER, Role.ASSISTANT)
        }
        found[words[Role.USER]] = words[Role.ASSISTANT]
        answered = [position for position, role in enumerate(roles) if role == Role.ASSISTANT]
        if len(answered) >= 6:  # cut off: no end of turn that the model did not write
            assert answered[-1] == len(ids) - 1
    assert found == {prompt: said[prompt] for prompt in expected}
    assert len(conversations(rows, 10, 32)) == len(expected)
    assert set(rows["split"]) == {"validation"}


def test_prompt_and_answer_together_are_no_longer_than_a_row(llama_pair, tokenizer, tmp_path):
    context = 1 + max(len(render(tokenizer, [user(prompt)], True).ids) for prompt in PROMPTS)
    pl.DataFrame({"prompt": [*PROMPTS, "word " * 40]}).write_parquet(tmp_path / "prompts.parquet")
    rows = []
    for tokens in (1024, context):
        source = Prompts(path=str(tmp_path / "prompts.parquet"), column="prompt", prompt_tokens=context, new_tokens=30)
        chosen = dump(Evidence(prompts=source, conversations=4))
        answer(chosen, llama_pair.json, context=tokens, out=tmp_path / str(tokens), threads=1)
        rows.append(pl.read_parquet(tmp_path / str(tokens) / "rows.parquet"))
    whole, cut = rows
    assert whole["ids"].list.len().max() > context
    assert cut["ids"].to_list() == [ids[:context] for ids in whole["ids"].to_list()]
    assert all(Role.ASSISTANT in roles for roles in cut["roles"].to_list())  # of each at least one token is predicted


def test_without_prompts_it_says_what_to_give(llama_pair, tmp_path):
    with pytest.raises(UserError, match="name the file"):
        answer(dump(Evidence()), llama_pair.json, context=1024, out=tmp_path / "out", threads=1)
    pl.DataFrame({"prompt": ["word " * 50]}).write_parquet(tmp_path / "prompts.parquet")
    source = Prompts(path=str(tmp_path / "prompts.parquet"), column="prompt", prompt_tokens=20)
    with pytest.raises(UserError, match="no prompt of at most 20 tokens"):
        answer(dump(Evidence(prompts=source)), llama_pair.json, context=1024, out=tmp_path / "out", threads=1)
    wrong = Prompts(path=str(tmp_path / "prompts.parquet"), column="text")
    with pytest.raises(UserError, match=r"evidence\.prompts\.column: no column 'text'"):
        answer(dump(Evidence(prompts=wrong)), llama_pair.json, context=1024, out=tmp_path / "out", threads=1)
