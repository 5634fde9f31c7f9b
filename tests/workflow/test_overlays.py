"""The ready overlays: valid by the schema that editors see, and the study's sizes where they are the study's pairs."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from crossdiff.config import Config
from crossdiff.overlay import merged
from crossdiff.parsing import dump, parse, settings
from crossdiff.workflow import check_files, results

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(path.stem for path in ROOT.glob("configs/*.yaml"))
WIDTHS = {"gemma-2-2b": 2304, "llama-3.1-8b": 4096, "llama-3.2-1b": 2048, "qwen2.5-1.5b": 1536}
"""Of the study's pairs."""


def study(name: str) -> Config:
    data = [yaml.safe_load(file.read_text()) for file in (ROOT / "config.yaml", ROOT / f"configs/{name}.yaml")]
    return parse(Config, merged(*data), name)


def test_the_pairs_of_the_study_are_there() -> None:
    assert set(WIDTHS) | {"smollm2-135m"} <= set(OVERLAYS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_is_valid_by_the_schema_and_survives_a_round_trip(name: str) -> None:
    found = study(name)
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(dump(found)))
    assert settings(Config, dump(found)) == found


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_names_no_file_that_is_missing_and_has_its_own_results(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    check_files(study(name))
    assert len(results(study(name))) > 20
    assert sum(study(other).pair.name == study(name).pair.name for other in OVERLAYS) == 1


@pytest.mark.parametrize("name", WIDTHS)
def test_sizes_are_the_studys(name: str) -> None:
    """study_spec §1.1, §2, §3.3: expansion 32, two passes over the tokens, raw activations, no masked norms."""
    found = study(name)
    assert {recipe.latents for recipe in found.dictionaries.values()} == {32 * WIDTHS[name]}
    for recipe in found.dictionaries.values():
        assert recipe.steps * recipe.batch == pytest.approx(2 * found.corpus.train_tokens, rel=1e-4)
        assert (recipe.lr, recipe.warmup_steps, recipe.decay_start, recipe.normalise) == (1e-4, 1000, None, False)
        assert recipe.clip_norm == (None if recipe.sparsity == "l1" else 1.0)
        assert recipe.sources == (None if recipe.kind == "crosscoder" else ("chat",))
    assert found.activations.outlier_factor is None
    assert (found.activations.skip_first == 0) == (name == "gemma-2-2b")
    assert bool(found.pair.base.replace_ids) == name.startswith("llama")
    assert not found.pair.chat.replace_ids
    if name == "gemma-2-2b":
        assert found.evidence.candidate_latents == 3176
    else:
        assert found.evidence.candidates * 73_728 == pytest.approx(3176, abs=5)
