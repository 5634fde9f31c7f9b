"""Local files that a config names, and the results that it asks for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from crossdiff.config import Config
from crossdiff.errors import UserError
from crossdiff.overlay import merged
from crossdiff.parsing import parse
from crossdiff.workflow import (
    check_files,
    checked,
    gguf_file,
    local_files,
    made,
    model,
    model_files,
    null_latents,
    published_files,
    results,
)

ROOT = Path(__file__).parents[2]
PLAIN: dict[str, Any] = {
    "pair": {"base": {"path": "org/base", "package": None}, "chat": {"path": "org/chat", "planted": None}},
    "corpus": {"sources": [{"name": "web", "path": "org/web", "column": "text", "share": 1.0}]},
    "calibration": {"null_tune": None},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(**parts: Any) -> dict[str, Any]:
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    return merged(merged(default, PLAIN), parts)


def study(**parts: Any) -> Config:
    return parse(Config, config(**parts))


def base(path: str, **more: Any) -> Config:
    return study(pair={"base": {"path": path, **more}})


def model_folder(name: str) -> Path:
    path = Path(name)
    path.mkdir(parents=True)
    for file in ("model.safetensors", "config.json", "tokenizer.json", "README.md"):
        (path / file).write_text(file)
    return path


def test_hub_ids_need_no_local_file() -> None:
    check_files(study())
    assert model_files(study(), "base") == []
    assert model(study(), "base").path == "org/base"
    assert not made(study(), "base")


def test_a_model_folder_gives_its_files_but_no_readme() -> None:
    model_folder("models/x")
    names = [Path(file).name for file in model_files(base("models/x"), "base")]
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_gguf_file_is_converted() -> None:
    Path("m.gguf").write_text("x")
    model_folder("hold")
    Path("hold/n.gguf").write_text("x")
    assert (gguf_file(base("m.gguf"), "base"), made(base("m.gguf"), "base")) == ("m.gguf", True)
    assert gguf_file(base("hold", gguf="n.gguf"), "base") == "hold/n.gguf"
    assert model(base("m.gguf"), "base").files[0] == "results/smollm2-planted/models/base/model.safetensors"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"pair": {"base": {"path": "./gone"}}}, r"pair\.base\.path: there is no \./gone; mend the path"),
        ({"pair": {"base": {"path": "/gone/model"}}}, r"pair\.base\.path: there is no /gone/model"),
        ({"pair": {"base": {"path": "gone.gguf"}}}, r"pair\.base\.path: there is no gone\.gguf"),
        ({"pair": {"chat": {"path": "empty"}}}, r"pair\.chat\.path: there is no \*\.safetensors in empty"),
        ({"pair": {"chat": {"path": "empty", "gguf": "a.gguf"}}}, r"pair\.chat\.gguf: there is no empty/a\.gguf"),
        ({"pair": {"chat": {"path": "some.txt"}}}, r"pair\.chat\.path: some\.txt is a file but no GGUF"),
        ({"pair": {"chat": {"chat_template": "t.jinja"}}}, r"pair\.chat\.chat_template: there is no t\.jinja"),
        ({"calibration": {"null_tune": {"path": "./gone"}}}, r"calibration\.null_tune\.path: there is no \./gone"),
        (
            {"calibration": {"null_tune": {"planted": {"behaviours": []}}}},
            r"pair\.base\.path: there is no folder org/base .* calibration\.null_tune\.planted .*\.null_tune: null",
        ),
        ({"pair": {"chat": {"path": None, "planted": {}}}}, r"pair\.base\.path: .* hub id, and pair\.chat\.planted"),
    ],
)
def test_names_a_model_file_that_is_missing(parts: dict[str, Any], message: str) -> None:
    Path("empty").mkdir()
    Path("some.txt").write_text("x")
    with pytest.raises(UserError, match=message):
        check_files(study(**parts))


def test_a_gguf_file_on_the_hub_is_downloaded_then_converted() -> None:
    hub = base("org/base-gguf", gguf="b.gguf")
    check_files(hub)
    assert (gguf_file(hub, "base"), made(hub, "base")) == (None, True)


def source(path: str) -> dict[str, Any]:
    return {"corpus": {"sources": [{"name": "web", "path": path, "column": "text", "share": 1.0}]}}


def test_local_files_are_found_by_pattern() -> None:
    Path("data").mkdir()
    for name in ("a.parquet", "b.parquet", "c.txt"):
        Path("data", name).write_text("x")
    assert local_files(study(**source("data/*.parquet")).corpus.sources[0]) == ["data/a.parquet", "data/b.parquet"]
    absolute = str(Path.cwd() / "data/*.parquet")
    assert len(local_files(study(**source(absolute)).corpus.sources[0])) == 2
    assert local_files(study(**source("org/web")).corpus.sources[0]) == []


@pytest.mark.parametrize("path", ["gone.parquet", "data/gone.jsonl", "data/*.parquet", "./gone", "a/b/c.json.gz"])
def test_names_a_corpus_file_that_is_missing(path: str) -> None:
    with pytest.raises(UserError, match=r"corpus\.sources\.web\.path: there is no "):
        check_files(study(**source(path)))


def test_a_corpus_file_of_another_format_is_refused() -> None:
    Path("rows.csv").write_text("text\nhello\n")
    with pytest.raises(
        UserError, match=r"corpus\.sources\.web\.path: \./rows\.csv has no format that is read.*\.parquet, \.jsonl"
    ):
        check_files(study(**source("./rows.csv")))


def test_a_wrong_config_ends_snakemake_with_one_message() -> None:
    with pytest.raises(SystemExit, match=r"^error: config\.yaml: seeds: List should have at least 1 item"):
        checked(config(seeds=[]))


def published(**entry: Any) -> Config:
    return study(dictionaries={"theirs": {"kind": "crosscoder", **entry}})


def test_files_of_a_local_published_dictionary_are_inputs() -> None:
    Path("theirs/layer").mkdir(parents=True)
    for file in ("model.safetensors", "config.json", "README.md"):
        Path("theirs/layer", file).write_text("x")
    entry = published(**{"from": "./theirs", "subfolder": "layer"}).imported["theirs"]
    assert published_files(entry, "theirs") == ["theirs/layer/config.json", "theirs/layer/model.safetensors"]
    entry = published(**{"from": "theirs/layer/model.safetensors"}).imported["theirs"]
    assert published_files(entry, "theirs") == ["theirs/layer/config.json", "theirs/layer/model.safetensors"]
    assert published_files(published(**{"from": "org/theirs"}).imported["theirs"], "theirs") == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"from": "./gone"}, r"dictionaries\.theirs\.from: there is no gone; mend the path"),
        ({"from": ".", "subfolder": "gone"}, r"dictionaries\.theirs\.subfolder: there is no gone"),
    ],
)
def test_names_a_published_file_that_is_missing(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_files(published(**entry))


def test_a_published_dictionary_has_one_run_and_no_curves() -> None:
    names = results(published(**{"from": "org/theirs"}))
    assert [name for name in names if name.startswith("dictionaries/theirs")] == [
        f"dictionaries/theirs-seed0/{file}" for file in ("dictionary.safetensors", "dictionary.json", "run.json")
    ]
    assert "dictionaries/diff-sae-seed1/training.parquet" in names
    assert "evidence/theirs-seed0/kl.parquet" in names
    assert "latents/theirs-seed1.parquet" not in names


def test_results_of_a_plain_pair_hold_no_planted_ones() -> None:
    names = results(study(seeds=[0, 3], synthetic=None))
    assert "dictionaries/diff-sae-seed3/training.parquet" in names
    assert "examples/chat-sae-seed0.parquet" in names
    assert "evidence/baselines/kl.parquet" in names
    assert not [name for name in names if "truth" in name or "behaviours" in name or "models" in name]


def test_results_of_a_planted_pair() -> None:
    names = results(parse(Config, yaml.safe_load((ROOT / "config.yaml").read_text())))
    assert {"models/base/run.json", "models/chat/run.json", "truth/answers.parquet"} <= set(names)
    assert "evidence/diff-sae-seed1/behaviours.parquet" in names
    latents = [f"null/latents/{name}-seed0.parquet" for name in ("crosscoder-l1", "diff-sae")]
    assert {"null/models/chat/model.safetensors", "null/activations/manifest.json", *latents} <= set(names)
    assert not [name for name in names if name.startswith("null/evidence") or "null/latents/diff-sae-seed1" in name]


def test_a_null_tune_may_be_a_folder_that_is_there() -> None:
    model_folder("models/general")
    named = study(calibration={"null_tune": {"path": "models/general"}, "null_seeds": [3]})
    assert (model(named, "null").path, made(named, "null")) == ("models/general", False)
    assert null_latents(named, "diff-sae") == ["null/latents/diff-sae-seed3.parquet"]
    assert not [name for name in results(named) if name.startswith("null/models")]
    assert null_latents(study(), "diff-sae") == []
