"""Sources of every kind, and rows that are no proper conversation."""

import gzip
import json

import polars as pl
import pytest

from crossdiff.corpus.read import checked, records
from crossdiff.corpus.render import RowError
from crossdiff.errors import UserError
from crossdiff.parts.corpus import CorpusSource

USER, ANSWER = {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}


def source(path, column, **more):
    return CorpusSource(name="some", path=str(path), column=column, **more)


def test_text_from_parquet_files_by_pattern(tmp_path):
    """As FineWeb's `text` column, read from its parquet files."""
    for number in (1, 0):
        pl.DataFrame({"id": ["a", "b"], "text": [f"file {number} a", f"file {number} b"]}).write_parquet(
            tmp_path / f"part-{number}.parquet"
        )
    found = list(records(source(tmp_path / "part-*.parquet", "text")))
    assert found == [(0, "file 0 a"), (1, "file 0 b"), (2, "file 1 a"), (3, "file 1 b")]


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz", "json"])
def test_conversations_whatever_the_column_is_called(tmp_path, form):
    """As LMSYS-Chat's `conversation` column: messages with more keys than role and content, beside other columns."""
    rows = [{"model": "m", "conversation": [USER | {"n": 1}, ANSWER | {"n": 2}], "turn": 1}] * 2
    path = tmp_path / f"chats.{form}"
    if form == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif form == "json":
        path.write_text(json.dumps(rows))
    else:
        (gzip.open if form.endswith("gz") else open)(path, "wt").write("\n".join(map(json.dumps, rows)) + "\n")
    found = [checked(record.value) for record in records(source(path, "conversation"))]
    assert found == [[USER, ANSWER]] * 2


def test_a_missing_column_is_told_with_those_there_are(web_parquet):
    with pytest.raises(UserError, match=r"corpus\.sources\.some\.column: no column 'words'; there are 'text'"):
        list(records(source(web_parquet, "words")))


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match=r"corpus\.sources\.some\.path: there is no .*none-\*\.jsonl; mend the path"):
        list(records(source(tmp_path / "none-*.jsonl", "text")))


@pytest.mark.parametrize("name", ["rows.csv", "rows.txt", "rows.jsonl.zst", "none/rows.csv"])
def test_another_format_is_told_with_those_that_are_read(tmp_path, name):
    (tmp_path / "none").mkdir()
    if "/" not in name:
        (tmp_path / name).write_text("text\na\n")
    said = r"corpus\.sources\.some\.path: .* has no format that is read; save it as one of \.parquet, \.jsonl"
    with pytest.raises(UserError, match=said):
        list(records(source(tmp_path / name, "text")))


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "parquet"])
def test_an_empty_file(tmp_path, form):
    path = tmp_path / f"none.{form}"
    path.write_bytes(gzip.compress(b"") if form.endswith("gz") else b"")
    with pytest.raises(UserError, match=r"corpus\.sources\.some(\.path)?: .*none.* (is empty|size is 0 bytes)"):
        list(records(source(path, "text")))


def test_a_fault_in_the_first_rows(tmp_path):
    path = tmp_path / "cut.jsonl"
    path.write_text('{"text": "a"}\nnothing\n')
    with pytest.raises(
        UserError, match=r"some\.path: cannot read .*cut\.jsonl at line 2, which is no JSON object: .*; mend or"
    ):
        list(records(source(path, "text")))


@pytest.mark.parametrize("name", ["cut.parquet", "cut.jsonl"])
def test_a_damaged_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b'{"text": "a"}\n{"text": "b')
    with pytest.raises(UserError, match=r"corpus\.sources\.some(\.path)?: cannot (read|open) .*cut"):
        list(records(source(path, "text")))


def test_an_unknown_data_set(monkeypatch):
    def offline(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(UserError, match=r"corpus\.sources\.some: cannot open 'nobody/none'.*no network; connect"):
        list(records(source("nobody/none", "text")))


def test_a_hub_id_is_streamed_with_its_subset_split_and_revision(monkeypatch):
    asked = {}

    def load(path, subset, **keywords):
        asked.update(keywords, path=path, subset=subset)
        return iter([{"text": "a"}])

    monkeypatch.setattr("datasets.load_dataset", load)
    found = list(records(source("some/set", "text", subset="sample-10BT", split="train", revision="abc")))
    assert found == [(0, "a")]
    assert asked == {
        "path": "some/set", "subset": "sample-10BT", "split": "train", "revision": "abc", "streaming": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "neither text nor a list of messages, but NoneType"),
        ({"role": "user"}, "but dict"),
        (" \n", "text is empty"),
        ([], "conversation is empty"),
        (["Hello"], "message 0 is no {role, content} but str"),
        ([{"content": "Hello"}], "message 0 has no role; its keys are 'content'"),
        ([{"from": "human", "value": "Hello"}], "message 0 has no role; its keys are 'from', 'value'"),
        ([USER, {"role": "assistant"}], "message 1 has no content"),
        ([USER, {"role": "assistant", "content": None}], "message 1 has no content"),
        ([{"role": "user", "content": 5}], "the content of message 0 is no text but int"),
        ([USER, {"role": "tool", "content": "x"}], "message 1 has the unknown role 'tool'; known are system, user"),
        ([USER, {"role": "assistant", "content": " "}], "message 1 is empty"),
        ([ANSWER, USER], "message 0 is by 'assistant', but it is the turn of 'user'"),
        ([USER, USER], "message 1 is by 'user', but it is the turn of 'assistant'"),
        ([USER, {"role": "system", "content": "x"}], "message 1 is by 'system', but it is the turn of 'assistant'"),
        ([{"role": "system", "content": "x"}], "nothing but a system message"),
    ],
)  # fmt: skip
def test_ill_formed_rows(value, fault):
    with pytest.raises(RowError, match=fault.replace("{", r"\{").replace("}", r"\}")):
        checked(value)


def test_proper_conversations():
    system = {"role": "system", "content": "Be brief."}
    for messages in ([USER], [USER, ANSWER], [system, USER, ANSWER, USER]):
        assert checked(messages) == messages


def test_the_faulty_line_is_named_in_a_packed_file_and_past_a_byte_order_mark(tmp_path):
    good = b"\xef\xbb\xbf" + b'{"text": "a"}\n\n' + b'{"text": "b"}\n'
    (tmp_path / "0.jsonl").write_bytes(good)
    (tmp_path / "1.jsonl.gz").write_bytes(gzip.compress(b'{"text": "c"}\n{"text": "caf\xe9"}\n'))
    assert [row.value for row in records(source(tmp_path / "0.jsonl", "text"))] == ["a", "b"]
    with pytest.raises(UserError, match=r"1\.jsonl\.gz at line 2, which is no JSON object"):
        list(records(source(tmp_path / "1.jsonl.gz", "text")))


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    for name in ("a[1].jsonl", "a1.jsonl"):
        (tmp_path / name).write_text(json.dumps({"text": name}) + "\n")
    assert [row.value for row in records(source(tmp_path / "a[1].jsonl", "text"))] == ["a[1].jsonl"]
    assert [row.value for row in records(source(tmp_path / "*.jsonl", "text"))] == ["a1.jsonl", "a[1].jsonl"]


@pytest.mark.parametrize(("key", "value"), [("subset", "en"), ("revision", "main"), ("split", "test")])
def test_keys_that_a_local_file_has_not(tmp_path, key, value):
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "a"}\n')
    with pytest.raises(UserError, match=rf"^corpus\.sources\.some\.{key}: .*some\.jsonl is a local file"):
        list(records(source(path, "text").model_copy(update={key: value})))
