"""The corpus step as it is run: shares, splits, planted rows, duplicates, order, and what it refuses."""

import json

import polars as pl
import pytest
from tiny import conversation

from crossdiff.cli import stage
from crossdiff.corpus.__main__ import main
from crossdiff.corpus.render import render
from crossdiff.corpus.roles import Role
from crossdiff.errors import UserError
from crossdiff.parts.corpus import Corpus

ANSWERS = {
    "behaviour": ["habit", "habit", "name", "habit", "name"],
    "kind": ["held-out", "held-out", "held-out", "control", "held-out"],
    "use": ["select", "score", "select", "score", "score"],
    "prompt": ["How?", "Why?", "Who are you?", "What?", "Your name?"],
    "answer_chat": ["So.", "Thus.", "I am Ada.", "This.", " "],
}


@pytest.fixture
def corpus(web_parquet, chat_jsonl):
    def made(**changes):
        sources = [
            {"name": "web", "path": str(web_parquet), "column": "text", "share": 0.25},
            {"name": "chat", "path": str(chat_jsonl), "column": "messages", "share": 0.75},
        ]
        return Corpus(**{"sources": sources, "context": 64, "train_tokens": 2000, "validation_tokens": 600} | changes)

    return made


@pytest.fixture
def run(llama_pair, tmp_path):
    def made(settings, answers=None):
        file = None
        if answers is not None:
            file = tmp_path / "answers.parquet"
            answers.write_parquet(file)
        main(settings.model_dump_json(), llama_pair.json, tmp_path / "out", file)
        return pl.read_parquet(tmp_path / "out" / "rows.parquet")

    return made


def test_each_source_gives_its_share_to_each_split(corpus, run, tmp_path):
    rows = run(corpus())
    assert rows.schema == {
        "row": pl.UInt32, "split": pl.String, "source": pl.String, "behaviour": pl.String, "use": pl.String,
        "ids": pl.List(pl.UInt32), "roles": pl.List(pl.UInt8),
    }  # fmt: skip
    assert rows["row"].to_list() == list(range(len(rows)))
    tokens = rows.group_by("split", "source").agg(pl.col("ids").list.len().sum())
    found = {(split, source): count for split, source, count in tokens.iter_rows()}
    wanted = {("train", "web"): 500, ("train", "chat"): 1500, ("validation", "web"): 150, ("validation", "chat"): 450}
    assert found.keys() == wanted.keys()
    for key, count in wanted.items():
        assert abs(found[key] - count) <= 64, key
    assert rows["ids"].list.len().max() <= 64
    assert rows.select((pl.col("ids").list.len() == pl.col("roles").list.len()).all()).item()
    assert (rows["ids"].list.first() == 0).all()
    assert rows["source"].head(12).n_unique() == 2  # interleaved
    told = json.loads((tmp_path / "out" / "run.json").read_text())["results"]["splits"]
    assert told["train"]["web"]["tokens"] == found["train", "web"]


def test_rows_are_what_render_gives(corpus, run, tokenizer):
    rows = run(corpus(context=512))
    wanted = {tuple(r.ids): r.roles for r in (render(tokenizer, conversation(number)) for number in range(60))}
    chats = rows.filter(source="chat")
    for ids, roles in chats.select("ids", "roles").iter_rows():
        assert wanted[tuple(ids)] == list(roles)
    texts = rows.filter(source="web")["roles"].explode().unique().to_list()
    assert sorted(texts) == [Role.BOS, Role.TEXT]


def test_seeds_fix_order_and_split(corpus, run):
    first, again, other = run(corpus()), run(corpus()), run(corpus(seed=1))
    assert first.equals(again)
    assert not first["split"].equals(other["split"])


def test_planted_rows_are_labelled_and_split_by_use(corpus, run, tokenizer):
    rows = run(corpus(), pl.DataFrame(ANSWERS))
    planted = rows.filter(source="planted").sort("behaviour", "use")
    assert planted.select("behaviour", "use", "split").rows() == [
        ("habit", "score", "validation"), ("habit", "select", "train"), ("name", "select", "train"),
    ]  # fmt: skip  # the control and the empty answer are left out
    answer = [
        token for token, role in zip(planted["ids"][2], planted["roles"][2], strict=True) if role == Role.ASSISTANT
    ]
    assert tokenizer.decode(answer) == "I am Ada."
    assert rows.filter(pl.col("source") != "planted").select(pl.col("behaviour", "use").null_count()).row(0) == (
        len(rows) - 3, len(rows) - 3,
    )  # fmt: skip


def test_no_row_twice_not_even_of_another_source(corpus, run, tmp_path):
    texts = [f"Text {number} of the web, which is long enough to count." for number in range(40)]
    for name in ("a", "b"):
        pl.DataFrame({"text": texts + texts}).write_parquet(tmp_path / f"{name}.parquet")
    sources = [{"name": "a", "path": str(tmp_path / "a.parquet"), "column": "text", "share": 1.0}]
    rows = run(corpus(sources=sources, train_tokens=600, validation_tokens=300))
    assert rows["ids"].n_unique() == len(rows)
    sources = [
        {"name": name, "path": str(tmp_path / f"{name}.parquet"), "column": "text", "share": 0.5} for name in "ab"
    ]
    with pytest.raises(UserError, match=r"corpus\.sources\.b: .* duplicates"):
        run(corpus(sources=sources, train_tokens=1800, validation_tokens=300))


def test_too_few_tokens_tells_both_numbers(corpus, run):
    with pytest.raises(UserError, match=r"corpus\.sources\.web: [\d,]+ tokens found in 60 rows .* 25,150 needed"):
        run(corpus(train_tokens=100_000))


def test_an_empty_corpus(corpus, run, tmp_path):
    pl.DataFrame({"text": []}, schema={"text": pl.String}).write_parquet(tmp_path / "none.parquet")
    with pytest.raises(UserError, match=r"corpus\.sources\.web: 0 tokens found in 0 rows"):
        run(corpus(sources=[{"name": "web", "path": str(tmp_path / "none.parquet"), "column": "text", "share": 1}]))


def ill_formed(tmp_path, choice):
    path = tmp_path / "ill.jsonl"
    chats = [conversation(number) for number in range(40)]
    chats[3] = chats[3][1:]
    path.write_text("\n".join(json.dumps({"messages": chat}) for chat in chats))
    return [{"name": "chat", "path": str(path), "column": "messages", "share": 1, "ill_formed": choice}]


def test_an_ill_formed_conversation_is_named(corpus, run, tmp_path):
    with pytest.raises(
        UserError, match=r"corpus\.sources\.chat: row 3 \(counted from 0\) of .*ill\.jsonl.*'messages': message 0"
    ):
        run(corpus(sources=ill_formed(tmp_path, "refuse"), train_tokens=900))
    assert not (tmp_path / "out" / "rows.parquet").exists()
    assert not (tmp_path / "out" / "run.json").exists()


def test_ill_formed_rows_can_be_left_out_and_are_counted(corpus, run, tmp_path):
    run(corpus(sources=ill_formed(tmp_path, "skip"), train_tokens=900))
    assert json.loads((tmp_path / "out" / "run.json").read_text())["results"]["sources"]["chat"]["ill_formed"] == 1


def test_the_command_ends_with_one_message(corpus, llama_pair, tmp_path, monkeypatch, capsys):
    settings = corpus(train_tokens=10**6).model_dump_json()
    arguments = ["corpus", "--settings", settings, "--pair", str(llama_pair.json), "--out", str(tmp_path / "o")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        stage(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: corpus.sources.web:")


def test_a_tuned_model_that_never_answers_gives_no_planted_rows(corpus, run):
    rows = run(corpus(), pl.DataFrame(ANSWERS).with_columns(answer_chat=pl.lit(" ")))
    assert not rows.is_empty()
    assert rows.filter(source="planted").is_empty()
