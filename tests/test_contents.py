"""What `crossdiff check` reads in the files that a config names: faults end it with status 2 and name key and file."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from safetensors.torch import save_file

from crossdiff.__main__ import main
from crossdiff.config import Config, check_named
from crossdiff.contents import check_contents, columns_of
from crossdiff.costs import findings
from crossdiff.errors import UserError
from crossdiff.overlay import merged
from crossdiff.parsing import parse

ROOT = Path(__file__).parents[1]
ROW = {"text": "Words.", "messages": [{"role": "user", "content": "Hello?"}]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base of 4 blocks and width 8, rows in each format, a dictionary of the wrong width, files that are broken."""
    monkeypatch.chdir(tmp_path)
    Path("base").mkdir()
    shape = {"num_hidden_layers": 4, "hidden_size": 8}
    Path("base/config.json").write_text(json.dumps({"text_config": shape}))
    save_file({"x": torch.ones(1)}, "base/model.safetensors")
    Path("base/tokenizer.json").write_text("{}")
    pl.DataFrame([ROW] * 2000).write_parquet("rows.parquet")
    Path("rows.jsonl").write_text(f"\n{json.dumps(ROW)}\n{json.dumps(ROW)}\n")
    Path("rows.json").write_text(json.dumps([ROW, ROW], indent=1))
    Path("rows.json.gz").write_bytes(gzip.compress(json.dumps(ROW).encode()))
    for name, content in (
        ("bad.parquet", b"PAR1"),
        ("bad.jsonl", b"text"),
        ("list.jsonl", b"[1]"),
        ("bad.json.gz", b"x"),
    ):
        Path(name).write_bytes(content)
    Path("theirs").mkdir()
    save_file({"encoder.weight": torch.ones(2, 5, 16)}, "theirs/model.safetensors")
    Path("none").mkdir()


def config(**parts: Any) -> dict[str, Any]:
    mine = {
        "pair": {"base": {"path": "./base", "package": None}},
        "corpus": {"sources": [{"name": "web", "path": "rows.parquet", "column": "text", "share": 1.0}]},
        "activations": {"layer": 3},
    }
    return merged(merged(yaml.safe_load((ROOT / "config.yaml").read_text()), mine), parts)


def rows(path: str, column: str) -> dict[str, Any]:
    return {"corpus": {"sources": [{"name": "web", "path": path, "column": column, "share": 1.0}]}}


def theirs(**entry: Any) -> dict[str, Any]:
    return {"dictionaries": {"theirs": {"kind": "crosscoder"} | entry}}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"activations": {"layer": 4}}, "activations.layer: block 4 does not exist; the models have 4, 0 to 3"),
        ({"evidence": {"layer_sweep": [0, 7]}}, "evidence.layer_sweep: block 7 does not exist; the models have 4"),
        (
            {"pair": {"chat": {"planted": {"first_layer": 9}}}},
            "pair.chat.planted.first_layer: block 9 does not exist; the models have 4",
        ),
        (
            {"pair": {"chat": {"planted": {"behaviours": ["own-nam"]}}}},
            "pair.chat.planted.behaviours: no behaviour is called own-nam; there are arrow-making, false-summit,",
        ),
        (
            {"calibration": {"null_tune": {"planted": {"behaviours": [], "general": 9999}}}},
            "calibration.null_tune.planted.general: there are ",
        ),
        *(
            (rows(path, "txt"), f"corpus.sources.web.column: {path} has no column 'txt'; there are 'text', 'messages'")
            for path in ("rows.parquet", "rows.jsonl", "rows.json", "rows.json.gz")
        ),
        (rows("bad.parquet", "text"), "corpus.sources.web.path: bad.parquet cannot be read as parquet ("),
        (rows("bad.jsonl", "text"), "corpus.sources.web.path: bad.jsonl cannot be read as JSON ("),
        (rows("bad.json.gz", "text"), "corpus.sources.web.path: bad.json.gz cannot be read as JSON ("),
        (rows("list.jsonl", "text"), "corpus.sources.web.path: the first row of list.jsonl is no JSON object"),
        (
            {"evidence": {"prompts": {"path": "rows.jsonl", "column": "prompt"}}},
            "evidence.prompts.column: rows.jsonl has no column 'prompt'",
        ),
        (theirs(**{"from": "./none"}), "dictionaries.theirs.from: none holds no weight file of a known format"),
        (
            theirs(**{"from": "./theirs", "format": "science-of-finetuning"}),
            "dictionaries.theirs.from: no tensor of theirs/model.safetensors has the models' width 8",
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_what_the_files_speak_against(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parts: dict[str, Any], message: str
) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(config(**parts)))
    monkeypatch.setattr(sys, "argv", ["crossdiff", "check", "--no-estimate"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.parametrize("path", ["rows.parquet", "rows.jsonl", "rows.json", "rows.json.gz", "org/rows"])
def test_a_column_that_is_there(path: str) -> None:
    check_contents(parse(Config, config(**rows(path, "messages"))))


@pytest.mark.parametrize("path", ["rows.parquet", "rows.jsonl"])
def test_a_pair_with_nothing_planted_needs_conversations(path: str) -> None:
    tuned = {"pair": {"chat": {"path": "org/chat", "planted": None}}}
    with pytest.raises(UserError, match=r"corpus\.sources: none holds conversations, so there"):
        check_contents(parse(Config, config(**tuned, **rows(path, "text"))))
    check_contents(parse(Config, config(**tuned, **rows(path, "messages"))))
    check_contents(parse(Config, config(**tuned, **rows("org/rows", "text"))))
    asked = {"evidence": {"prompts": {"path": path, "column": "text"}}}
    check_contents(parse(Config, config(**tuned, **rows(path, "text"), **asked)))


def test_a_model_that_is_not_here_says_nothing() -> None:
    hub = {"base": {"path": "org/base"}, "chat": {"path": "org/chat", "planted": None}}
    chat = rows("rows.parquet", "messages")
    check_contents(parse(Config, config(pair=hub, activations={"layer": 99}, calibration={"null_tune": None}, **chat)))
    Path("base/config.json").write_text("{")
    with pytest.raises(UserError, match=r"base/config\.json is not valid JSON .*: save the model again"):
        check_contents(parse(Config, config()))


def test_a_first_row_beyond_what_is_read_is_left_to_the_study() -> None:
    Path("long.jsonl").write_text(json.dumps({"text": "word " * 300_000}))
    assert columns_of("long.jsonl", "corpus.sources.web") is None


def test_a_gpu_that_is_not_there_ends_the_check_after_its_estimate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(findings, "table", lambda study, machine: [f"the estimate, on {machine}"])
    Path("config.yaml").write_text(yaml.safe_dump(config(compute={"device": "cuda:1"})))
    monkeypatch.setattr(sys, "argv", ["crossdiff", "check"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert "the estimate, on None" in told.out
    assert told.err.startswith("error: compute.device: cuda:1, but PyTorch finds no GPU here; run the study where")


def test_rows_that_cannot_give_what_their_share_asks_for() -> None:
    few = config(corpus={"train_tokens": 500_000, "validation_tokens": 50_000, "context": 256})
    with pytest.raises(UserError, match=r"^corpus\.sources\.web: rows\.parquet has 2,000 rows, at most 512,000 tokens"):
        check_contents(parse(Config, few))
    check_contents(parse(Config, config(corpus={"train_tokens": 450_000, "validation_tokens": 50_000})))


def test_the_packaged_models_depth_is_known_before_it_is_fetched() -> None:
    plain = yaml.safe_load((ROOT / "config.yaml").read_text())
    source = {"name": "web", "path": "rows.parquet", "column": "messages", "share": 1.0}
    deep = merged(plain, {"corpus": {"sources": [source]}, "activations": {"layer": 30}})
    with pytest.raises(UserError, match=r"^activations\.layer: block 30 does not exist; the models have 30, 0 to 29"):
        check_contents(parse(Config, deep))
    check_contents(parse(Config, merged(deep, {"activations": {"layer": 29}})))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"corpus": {"train_tokens": 1000}}, r"dictionaries\.crosscoder-l1\.batch: 1024 tokens a step"),
        ({"evidence": {"candidate_nu": [2, -0.1]}}, r"evidence: candidate_nu: no ν lies between 2 and -0\.1"),
        ({"seeds": [2**32]}, r"seeds: 4294967296 is too large; 4294967295 is the largest"),
        ({"pair": {"name": "n" * 101}}, r"pair\.name: n{20}… has 101 letters; give it 100 at most"),
    ],
)
def test_numbers_and_names_that_cannot_work(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Config, config(**parts))


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ({"base_url": "http://localhost:9", "model": "m", "key": "NO_SUCH"}, r"explainer\.key: .* NO_SUCH is not set"),
        ({"path": "./none"}, r"evidence\.interpretation\.explainer\.path: there is no model in \./none"),
        ({"path": "./gone"}, r"evidence\.interpretation\.explainer\.path: there is no model in \./gone"),
    ],
)
def test_a_judge_that_cannot_be_asked(judge: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_contents(parse(Config, config(evidence={"interpretation": {"explainer": judge}})))


@pytest.mark.parametrize("judge", [{"base_url": "http://localhost:9", "model": "m", "key": None}, {"path": "./base"}])
def test_a_judge_is_not_asked_yet(judge: dict[str, Any]) -> None:
    check_contents(parse(Config, config(evidence={"interpretation": {"explainer": judge}})))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base": {"path": "./base"}}, r"pair\.base is changed"),
        ({"chat": {"path": "./base"}}, r"pair\.chat is changed"),
        ({"base": {"path": "./a"}, "chat": {"path": "./b"}}, r"pair\.base and pair\.chat are changed"),
    ],
)
def test_another_pair_needs_a_name_of_its_own(changed: dict[str, Any], said: str) -> None:
    layers = {"config.yaml": config(), "mine.yaml": {"pair": changed}}
    with pytest.raises(UserError, match=rf"^mine\.yaml: {said} and pair\.name is not"):
        check_named(layers)
    check_named({"config.yaml": config(), "mine.yaml": {"pair": changed | {"name": "mine"}}})
    check_named({"config.yaml": config(), "mine.yaml": {"pair": None}, "more.yaml": {"pair": {"dtype": "float32"}}})
