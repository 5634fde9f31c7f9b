"""The config: what is wrong is named by its key, and the schema in the repository is the one in the code."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossdiff.config import Config, schema
from crossdiff.dictionaries.published.settings import Published
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.errors import UserError
from crossdiff.evidence.settings import Evidence
from crossdiff.overlay import merged
from crossdiff.parsing import dump, parse, settings
from crossdiff.parts.corpus import Corpus

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(ROOT.glob("configs/*.yaml"))


def default() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(key: str, value: Any) -> dict[str, Any]:
    """The default config with one key set; ``...`` removes it."""
    config = default()
    *path, last = key.split("/")
    part: Any = config
    for name in path:
        part = part[int(name)] if isinstance(part, list) else part.setdefault(name, {})
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return config


def test_the_default_is_valid_and_survives_a_round_trip() -> None:
    study = parse(Config, default())
    assert settings(Config, dump(study)) == study


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_overlays_are_valid(overlay: Path) -> None:
    study = parse(Config, merged(default(), yaml.safe_load(overlay.read_text())), overlay.name)
    assert study.pair.name != default()["pair"]["name"], (
        "an overlay with the default's name would overwrite its results"
    )


def test_the_schema_in_the_repository_is_current() -> None:
    kept = (ROOT / "workflow/schemas/config.schema.json").read_text()
    assert kept == schema(), "run python -m crossdiff.config --schema > workflow/schemas/config.schema.json"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("activatoins", {}, "activatoins: no such key"),
        ("pair/base/file", "x", "pair.base.file: no such key"),
        ("dictionaries/diff-sae/topk", 3, "dictionaries.diff-sae.topk: no such key"),
        ("pair/name", "Upper Case", "pair.name: String should match"),
        ("pair/name", "../escape", "pair.name: String should match"),
        ("pair/name", ..., "pair.name: Field required"),
        ("pair/base/path", "x", "pair.base: give exactly one of path, package and planted, not path and package"),
        ("pair/base", {"planted": {}}, "pair: base.planted: only the chat model can be planted"),
        ("pair/chat/planted/rank", 0, "pair.chat.planted.rank: Input should be greater than or equal to 1 (got 0)"),
        ("pair/base/package/sha256", "abc", "pair.base.package.sha256: String should match"),
        ("pair/base/package/requirement", "a>=1", "pair.base.package.requirement: String should match"),
        ("corpus/context", "many", "corpus.context: Input should be a valid integer"),
        ("corpus/train_tokens", -1, "corpus.train_tokens: Input should be greater than or equal to 1 (got -1)"),
        ("corpus/sources", [], "corpus.sources: List should have at least 1 item"),
        ("corpus/sources/0/share", 0.9, "corpus: sources: the shares must add up to 1, not 1.4"),
        ("corpus/sources/0/name", "chat", "corpus: sources: each needs its own name, got chat, chat"),
        ("corpus/sources/0/name", "planted", "corpus.sources.0: name: `planted` is the label"),
        ("activations/layer", 1.5, "activations.layer: Input should be a valid integer"),
        ("activations/layer", ..., "activations.layer: Field required"),
        (
            "activations/dtype",
            "float8",
            "activations.dtype: Input should be 'bfloat16', 'float32' or 'int8' (got 'float8')",
        ),
        ("dictionaries", {}, "dictionaries: Dictionary should have at least 1 item"),
        ("dictionaries/diff-sae/kind", "vae", "dictionaries.diff-sae.kind: Input should be"),
        ("dictionaries/diff-sae/k", 5000, "dictionaries.diff-sae: k = 5000 is larger than latents = 2048"),
        ("dictionaries/diff-sae/steps", 0, "dictionaries.diff-sae: steps must be at least 1"),
        ("dictionaries/diff-sae/sources", ["wob"], "dictionaries.diff-sae.sources: no corpus source is called wob"),
        ("dictionaries/theirs", {"from": "x/y"}, "dictionaries.theirs.kind: Field required"),
        ("dictionaries/theirs", {"from": "x/y", "kind": "chat-sae", "k": 3}, "dictionaries.theirs.k: no such key"),
        ("dictionaries/theirs", {"from": "x/y", "kind": "vae"}, "dictionaries.theirs.kind: Input should be"),
        ("dictionaries/theirs", {"from": "", "kind": "chat-sae"}, "dictionaries.theirs.from: String should have"),
        (
            "dictionaries/theirs",
            {"from": "x/y", "kind": "diff-sae", "scales": "fit"},
            "dictionaries.theirs: scales are of a crosscoder's two models, not of a diff-sae",
        ),
        (
            "dictionaries/theirs",
            {"from": "x/y", "kind": "chat-sae", "difference": "base - chat"},
            "dictionaries.theirs: difference is of a diff-sae, not of a chat-sae",
        ),
        (
            "dictionaries/theirs",
            {"from": "x/y", "kind": "chat-sae", "format": "gguf"},
            "dictionaries.theirs.format: Inp",
        ),
        ("seeds", [], "seeds: List should have at least 1 item"),
        ("seeds", [1, 1], "seeds: give each once"),
        ("seeds", [2**63], "seeds.0: Input should be less than 9223372036854775808"),
        ("synthetic/seeds", [1, 1], "synthetic.seeds: give each once"),
        ("calibration/null_seeds", [0, 0], "calibration.null_seeds: give each once"),
        ("pair/chat/planted/behaviours", ["own-name", "own-name"], "pair.chat.planted.behaviours: give each once"),
        ("pair/chat/planted/lr", math.inf, "pair.chat.planted.lr: Input should be"),
        ("pair/chat/planted/lr", 3.0, "pair.chat.planted.lr: Input should be less than or equal to 1"),
        ("evidence/candidate_nu", [-math.inf, 2.0], "evidence.candidate_nu.0: Input should be a finite number"),
        ("pair/base", {"path": ""}, "pair.base.path: String should have at least 1 character"),
        ("pair/base/path", "x", "an overlay takes out with null, as in `planted: null`"),
        ("corpus/sources/0/path", "", "corpus.sources.0.path: String should have at least 1 character"),
        ("activations/batch_tokens", 255, "activations.batch_tokens: 255 is less than a row of 256 tokens (corpus.c"),
        ("activations/skip_first", 256, "activations.skip_first: 256 leaves nothing of rows of 256 tokens (corpus.c"),
        (
            "pair",
            {"name": "x", "base": {"path": "a/b"}, "chat": {"path": "a/b/"}},
            "pair: chat: this is the base itself",
        ),
        ("calibration/null_tune", {"package": default()["pair"]["base"]["package"]}, "calibration: null_tune: a GGUF"),
        (
            "calibration/null_tune",
            {"path": "their.gguf"},
            "calibration: null_tune: a GGUF file is not converted here; give a saved model's folder, or a hub id",
        ),
        ("calibration/null_tune", {"planted": {}}, "calibration: null_tune.planted.behaviours: a null has none"),
        ("calibration/null_seeds", [], "calibration.null_seeds: List should have at least 1 item"),
        ("evidence/candidates", 2.0, "evidence.candidates: Input should be less than or equal to 1 (got 2.0)"),
        ("compute/device", "tpu", "compute.device: String should match"),
        ("compute/threads/models", "two", "compute.threads.models: Input should be a valid integer"),
    ],
)
def test_names_what_is_wrong(key: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(Config, changed(key, value))
    assert message in str(caught.value)
    assert all(line.startswith("config.yaml: ") for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("synthetic", "small", "synthetic: Input should be `key: value` lines (got 'small')"),
        ("dictionaries/x", 3, "dictionaries.x: Input should be `key: value` lines (got 3)"),
        (
            "dictionaries/diff-sae/betas",
            0.9,
            "dictionaries.diff-sae.betas: Input should be a list, as in [a, b] (got 0.9)",
        ),
        ("dictionaries/Big", {"kind": "diff-sae"}, "dictionaries.Big: String should match"),
        ("evidence/layer_sweep", "some", "evidence.layer_sweep: Input should be 'all', or a list, as in [a, b]"),
        ("pair/base/replace_ids", {3: "x"}, "pair.base.replace_ids.3: Input should be a valid integer"),
        (
            "dictionaries/theirs",
            {"from": "x/y", "kind": "crosscoder", "scales": "none"},
            "dictionaries.theirs.scales: Input should be a list, as in [a, b], or 'fit' (got 'none')",
        ),
    ],
)
def test_tells_in_plain_words_what_kind_of_value_is_wanted(key: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(Config, changed(key, value))
    assert str(caught.value).startswith(f"config.yaml: {message}")


@pytest.mark.parametrize("name", ["baselines", "interpretation", "layers", "prompts", "steering", "steering-diff-sae"])
def test_a_dictionary_cannot_have_the_name_of_a_step(name: str) -> None:
    with pytest.raises(UserError, match=f"dictionaries.{name}: {name} is what the study calls results of its own"):
        parse(Config, changed(f"dictionaries/{name}", {"kind": "diff-sae"}))


@pytest.mark.parametrize("side", ["base", "chat"])
def test_a_null_tune_is_neither_model_of_the_pair(side: str) -> None:
    models = {"base": {"path": "./models/base"}, "chat": {"path": "org/chat", "revision": "v2"}}
    config = changed("pair", {"name": "x", **models})
    config["calibration"]["null_tune"] = models[side] | ({"path": "models/base/"} if side == "base" else {})
    with pytest.raises(UserError, match=rf"calibration\.null_tune: this is pair\.{side} itself"):
        parse(Config, config)
    config["calibration"]["null_tune"]["revision"] = "v1"
    assert parse(Config, config).null_pair


def test_names_every_fault_at_once() -> None:
    config = changed("corpus/context", "many") | {"seeds": [-1], "extra": 1}
    with pytest.raises(UserError) as caught:
        parse(Config, config)
    assert len(str(caught.value).splitlines()) == 3


def test_no_config_at_all_is_told_as_such() -> None:
    with pytest.raises(UserError, match=r"config\.yaml: config: Input should be `key: value` lines"):
        parse(Config, None)


def test_settings_come_from_json_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("{kind: diff-sae, k: 7, latents: 16}")
    assert settings(Recipe, str(file)).k == settings(Recipe, '{"kind": "diff-sae", "k": 7, "latents": 16}').k == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"steps": 3}', "--settings: steps: no such key"),
        ('{"seed": ', "--settings: no JSON (.*); give one JSON object, or the name of a file"),
        ("gone.yaml", "there is no file gone.yaml; mend the path"),
        ("bad.yaml", "bad.yaml, line 1: "),
    ],
)
def test_settings_that_are_none_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("{seed: ]")
    with pytest.raises(UserError, match=message.replace("(.*)", r"\(.*\)")):
        settings(Evidence, text)


def test_parts_of_the_config_survive_the_command_line() -> None:
    study = parse(Config, default())
    assert settings(Corpus, dump(study.corpus)) == study.corpus
    for recipe in study.dictionaries.values():
        assert settings(Recipe, dump(recipe)) == recipe


def test_published_dictionaries_run_once_and_null_leaves_one_out() -> None:
    theirs = {"from": "org/x", "kind": "crosscoder", "subfolder": "a/b", "scales": [0.3, 0.2]}
    overlay = {"dictionaries": {"chat-sae": None, "diff-sae": None, "theirs": theirs}, "seeds": [4, 5]}
    study = parse(Config, merged(default(), overlay))
    assert list(study.trained) == ["crosscoder-l1", "crosscoder-batchtopk"]
    assert (study.imported["theirs"].origin, study.imported["theirs"].scales) == ("org/x", (0.3, 0.2))
    assert (study.seeds_of("crosscoder-l1"), study.seeds_of("theirs")) == ([4, 5], [4])
    assert settings(Config, dump(study)) == study
    assert settings(Published, dump(study.imported["theirs"])) == study.imported["theirs"]
    assert study.model_dump(mode="json")["dictionaries"]["theirs"]["from"] == "org/x"


def test_a_study_needs_one_dictionary_that_is_not_null() -> None:
    overlay = {"dictionaries": dict.fromkeys(default()["dictionaries"])}
    with pytest.raises(UserError, match="dictionaries: Dictionary should have at least 1 item"):
        parse(Config, merged(default(), overlay))


def test_null_in_an_overlay_removes_a_key() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None}, "d": [2]}) == {
        "a": {"b": None, "c": 2},
        "d": [2],
    }
