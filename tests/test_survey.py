"""`crossdiff check-pair`: every finding is shown, failures say what to change and set the exit status."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from made import make_dictionary
from surveyed import look, text, verdicts
from tiny import padded
from transformers import AutoConfig, AutoTokenizer
from typer.testing import CliRunner

from crossdiff.__main__ import app
from crossdiff.costs.sizes import Machine
from crossdiff.dictionaries.formats import save
from tests.evidence.interpreted import api

ROOT = Path(__file__).parents[1]
MACHINE = Machine(4e11, 1e11, 3e10, 2)


def test_a_good_pair_of_each_family(tiny_pair, tiny_study: dict) -> None:
    model = padded(tiny_pair.base, Path("spare/base"))
    padded(tiny_pair.chat, Path("spare/chat"))
    found = look(tiny_study, pair={"base": {"path": "./spare/base"}, "chat": {"path": "./spare/chat"}})
    assert set(verdicts(found).values()) == {"ok"}, found.findings
    assert found.shape is not None
    assert found.shape.parameters == sum(weight.numel() for weight in model.parameters())
    assert (found.shape.layers, found.shape.width, found.download) == (4, 32, 0)
    assert "after block 1, of 0 to 3" in text(found, "site")


def test_all_failures_are_found_at_once(tiny_study: dict) -> None:
    (Path("chat") / "chat_template.jinja").unlink()
    Path("base/model.safetensors").write_bytes(b"cut")
    config = AutoConfig.from_pretrained("chat")
    config.num_hidden_layers = 3
    config.save_pretrained("chat")
    found = look(tiny_study, activations={"layer": 9}, corpus={"sources": [{"name": "web", "path": "gone.jsonl", "column": "text", "share": 1.0}]})  # fmt: skip  # noqa: E501
    failed = {what for what, verdict in verdicts(found).items() if verdict == "failed"}
    assert failed == {"base weights", "architecture", "site", "template", "corpus web"}
    assert "there is no gone.jsonl" in text(found, "corpus web")
    assert verdicts(found)["tokenizer"] == "ok"


def test_a_missing_model_leaves_open_what_needs_it(tiny_study: dict) -> None:
    found = look(tiny_study, pair={"chat": {"path": "no/where"}})
    assert verdicts(found)["chat model"] == "failed"
    assert "hf download no/where" in text(found, "chat model")
    assert "HF_HUB_OFFLINE" in text(found, "chat model")
    for what in ("chat weights", "architecture", "tokenizer", "template", "same ids"):
        assert verdicts(found)[what] == "open"
    assert verdicts(found)["site"] == "ok"


def test_a_model_that_the_study_makes_is_open_until_it_is_there(tiny_study: dict) -> None:
    found = look(tiny_study, pair={"chat": {"path": None, "planted": {}}})
    assert verdicts(found)["chat model"] == "open"
    assert "planted in the base" in text(found, "chat model")
    shutil.copytree("chat", "results/tiny/models/chat")
    assert verdicts(look(tiny_study, pair={"chat": {"path": None, "planted": {}}}))["same ids"] == "ok"


def test_a_null_tune_is_looked_at_as_the_chat_model_is(tiny_study: dict) -> None:
    shutil.copytree("chat", "null")
    tune = {"calibration": {"null_tune": {"path": "./null"}}}
    found = verdicts(look(tiny_study, **tune))
    assert [what for what in found if what.startswith("null tune")] == [
        f"null tune {what}" for what in ("model", "weights", "architecture", "tokenizer", "template", "same ids")
    ]
    assert set(found.values()) == {"ok"}
    Path("null/chat_template.jinja").unlink()
    Path("null/model.safetensors").write_bytes(b"cut")
    spoiled = look(tiny_study, **tune)
    failed = [finding for finding in spoiled.findings if finding.verdict == "failed"]
    assert [finding.what for finding in failed] == ["null tune weights", "null tune template"]
    assert all(finding.text.startswith("calibration.null_tune.") for finding in failed)
    gone = look(tiny_study, calibration={"null_tune": {"path": "no/where"}})
    assert text(gone, "null tune model").startswith("calibration.null_tune.path: no/where")
    assert text(gone, "null tune same ids") == "needs the null tune model"


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ({"first_layer": 4}, "planted.first_layer: 4, but the base has 4 blocks, 0 to 3"),
        ({"general": 9999}, "planted.general: there are 174 general conversations, not 9999"),
    ],
)
def test_what_is_to_be_planted(tiny_study: dict, planted: dict, said: str) -> None:
    chat = look(tiny_study, pair={"chat": {"path": None, "planted": planted}})
    assert text(chat, "chat model").startswith(f"pair.chat.{said}")
    null = look(tiny_study, calibration={"null_tune": {"planted": {"behaviours": [], **planted}}})
    assert text(null, "null tune model").startswith(f"calibration.null_tune.{said}")
    assert verdicts(null)["null tune model"] == "failed"
    good = look(tiny_study, calibration={"null_tune": {"planted": {"behaviours": []}}})
    assert verdicts(good)["null tune model"] == "open"


def test_a_base_that_is_not_there_is_named_although_the_chat_model_is_planted_in_it(tiny_study: dict) -> None:
    found = look(tiny_study, pair={"base": {"path": "models/none"}, "chat": {"path": None, "planted": {}}})
    assert text(found, "base model").startswith("pair.base.path: models/none")
    assert verdicts(found)["chat model"] == "open"


def test_behaviours_that_there_are_not(tiny_study: dict) -> None:
    found = look(tiny_study, pair={"chat": {"path": None, "planted": {"behaviours": ["mood"]}}})
    assert text(found, "chat model").startswith("pair.chat.planted.behaviours: no behaviour is called mood")


def test_published_dictionaries(tiny_study: dict) -> None:
    for name, width in (("fits", 32), ("wide", 48)):
        save(make_dictionary("crosscoder", width, 16), Path(name))
    shutil.copytree("fits", "cut")
    Path("cut/dictionary.safetensors").write_bytes(b"cut")
    entries = {name: {"from": f"./{name}", "kind": "crosscoder"} for name in ("fits", "wide", "cut", "gone")}
    found = look(tiny_study, dictionaries=entries | {"far": {"from": "org/far", "kind": "crosscoder"}})
    kinds = {name: verdicts(found)[f"dictionary {name}"] for name in (*entries, "far")}
    assert kinds == {"fits": "ok", "wide": "failed", "cut": "failed", "gone": "failed", "far": "open"}
    assert "16 latents of width 32" in text(found, "dictionary fits")
    assert "dictionaries.wide.from: the dictionary has width 48, but the models have" in text(found, "dictionary wide")
    assert "cut/dictionary.safetensors cannot be read" in text(found, "dictionary cut")
    assert "dictionaries.gone.from: there is no gone" in text(found, "dictionary gone")


def test_of_a_corpus_the_first_row_is_read_and_that_is_said(tiny_study: dict) -> None:
    assert text(look(tiny_study), "corpus chat").endswith(
        "column 'messages' holds conversations (its first row was read)"
    )


def test_other_tokens_and_other_ids(tiny_study: dict) -> None:
    file = Path("chat/tokenizer.json")
    data = json.loads(file.read_text())
    data["model"]["merges"] = data["model"]["merges"][:1]
    file.write_text(json.dumps(data))
    found = verdicts(look(tiny_study))
    assert found["tokenizer"] == found["same ids"] == "failed"


def test_a_model_that_is_no_decoder(tiny_study: dict) -> None:
    tokenizer = AutoTokenizer.from_pretrained("chat")
    Path("chat/config.json").write_text(json.dumps({"model_type": "t5", "num_layers": 2, "d_model": 32}))
    tokenizer.save_pretrained("chat")
    found = look(tiny_study)
    assert verdicts(found)["chat model"] == "failed"
    assert "encoder-decoder model (t5); give a decoder-only" in text(found, "chat model")


def test_command_shows_all_and_fails(tiny_study: dict) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(tiny_study))
    Path("wrong.yaml").write_text("{activations: {layer: 7}, pair: {name: other, chat: {chat_template: gone.jinja}}}")
    good = CliRunner().invoke(app, ["check-pair"])
    assert good.exit_code == 0, good.output
    assert "nothing speaks against it" in good.stdout
    assert "activations" in good.stdout.partition("about, on this machine")[2]
    bad = CliRunner().invoke(app, ["check-pair", "wrong.yaml"])
    assert bad.exit_code == 1
    assert isinstance(bad.exception, SystemExit)
    assert "3 of 16 checks failed" in bad.stdout
    assert "there is no gone.jinja" in bad.stdout
    assert "failed  as crossdiff check" in bad.stdout
    assert "block 7 does not exist" in bad.stdout


def test_a_judge_is_asked_once(tiny_study: dict) -> None:
    with api(lambda prompt: "yes") as (url, seen):
        judge = {"base_url": url, "model": "made-up", "key": None}
        found = look(tiny_study, evidence={"interpretation": {"explainer": judge, "scorer": {"path": "./chat"}}})
        assert text(found, "explainer") == f"{url} made-up answers"
        assert [request["prompt"] for request in seen] == ["Say yes."]
    with api(lambda prompt: 404) as (url, _):
        found = look(tiny_study, evidence={"interpretation": {"explainer": judge | {"base_url": url}}})
    assert verdicts(found)["explainer"] == "failed"
    assert "explainer.model" in text(found, "explainer")
