"""`python -m crossdiff.dictionaries` on stored activations, in this process."""

import json
from dataclasses import asdict

import polars as pl
import pytest
import torch
from planted_data import Planted, small

from crossdiff.activations.manifest import write_manifest
from crossdiff.activations.shards import write_shard
from crossdiff.activations.store import Activations
from crossdiff.dictionaries import load
from crossdiff.dictionaries.__main__ import main
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.errors import UserError
from crossdiff.parsing import settings


def store(folder, rows=40, length=10, validation=10, sources=("web", "chat")):
    """Planted pair activations: every row of ``length`` tokens, sources in turn, the last rows held out."""
    folder.mkdir()
    planted = Planted(2)
    shards = []
    for number, part in enumerate(torch.arange(rows).split(16)):
        row = part.repeat_interleave(length).int()
        x = planted.batch(len(row), number).bfloat16()
        tensors = {
            "x": x, "norm": x.float().norm(dim=2), "row": row, "position": torch.arange(length).repeat(len(part)).int(),
            "token": torch.zeros_like(row), "role": torch.zeros(len(row), dtype=torch.uint8),
        }  # fmt: skip
        shards.append(write_shard(folder, number, range(int(part[0]), int(part[-1]) + 1), tensors, "mark"))
    activations = Activations(
        folder=folder, shards=shards, models=2, width=20, thresholds=None, sources=list(sources),
        split_R=(torch.arange(rows) >= rows - validation).to(torch.uint8),
        source_R=(torch.arange(rows) % 2).to(torch.uint8),
    )  # fmt: skip
    write_manifest(folder, activations, {"layer": 3, "dtype": "bfloat16", "pair": {"base": {"revision": "r"}}})
    return folder / "manifest.json"


def go(manifest, out, recipe, **options):
    main(settings_=json.dumps(asdict(recipe)), name="made", activations=manifest, out=out, **options)


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae", "chat-sae", "base-sae"])
def test_writes_all_its_files(tmp_path, kind):
    recipe = small(kind)
    manifest, out = store(tmp_path / "activations"), tmp_path / "out"
    go(manifest, out, recipe, seed=1)
    assert sorted(path.name for path in out.iterdir()) == [
        "dictionary.json", "dictionary.safetensors", "run.json", "training.parquet",
    ]  # fmt: skip
    dictionary = load(out)
    assert (dictionary.about["seed"], dictionary.about["layer"]) == (1, 3)
    curves = pl.read_parquet(out / "training.parquet")
    assert curves["step"].to_list() == [10, 20, 30, 40, 50, 60]
    assert {"loss", "fve", "fve_base", "fve_chat", "l0", "dead", "lr", "tokens_per_second"} <= set(curves.columns)
    results = json.loads((out / "run.json").read_text())["results"]
    assert results["fve"] > 0.3
    assert results["tokens"]["train"] == 300
    x = Activations.open(manifest).view("validation").gather(torch.arange(100))
    mine = dictionary.read(x)
    rebuilt = dictionary.decode(dictionary.encode(mine))
    plain = 1 - (mine - rebuilt).square().sum() / (mine - mine.mean(0)).square().sum()
    assert results["fve"] == pytest.approx(float(plain), abs=1e-4)


def test_an_interrupted_command_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    recipe, manifest = small(), store(tmp_path / "activations")
    go(manifest, tmp_path / "whole", recipe)
    from crossdiff.dictionaries import train

    real, calls = train._advance, []

    def failing(*given):
        calls.append(1)
        if len(calls) == 33:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(train, "_advance", failing)
    with pytest.raises(KeyboardInterrupt):
        go(manifest, tmp_path / "cut", recipe)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["checkpoint.safetensors"]
    go(manifest, tmp_path / "cut", recipe)
    assert len(calls) == 33 + 40
    for name in ("dictionary.safetensors", "dictionary.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_sources_choose_what_is_trained_on(tmp_path):
    manifest = store(tmp_path / "activations")
    go(manifest, tmp_path / "out", small(sources=("chat",)))
    results = json.loads((tmp_path / "out" / "run.json").read_text())["results"]
    assert results["tokens"] == {"train": 150, "validation": 100, "presented": 3840}


def test_without_normaliser_activations_are_read_as_they_are(tmp_path):
    go(store(tmp_path / "activations"), tmp_path / "out", small(normalise=False))
    dictionary = load(tmp_path / "out")
    assert not bool(dictionary.mean.any())
    assert (float(dictionary.scale), dictionary.mean.shape) == (1.0, (2, 20))


@pytest.mark.parametrize(
    ("over", "rows", "told"),
    [
        ({"batch": 4000}, {}, "batch = 4000 exceeds the 300 training tokens"),
        ({"sources": ["poems"]}, {}, "poems"),
        ({}, {"rows": 10}, "no training tokens"),
        ({}, {"validation": 0}, "validation_tokens"),
        ({"k": 25}, {}, "k = 25 is larger than latents = 24"),
        ({"width": 3}, {}, "width"),
    ],
)
def test_bad_settings_end_before_training(tmp_path, over, rows, told):
    manifest = store(tmp_path / "activations", **rows)
    document = {**asdict(small()), **over}
    with pytest.raises(UserError, match=told):
        main(settings_=json.dumps(document), name="made", activations=manifest, out=tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_identical_models_leave_a_diff_sae_nothing(tmp_path, monkeypatch):
    manifest = store(tmp_path / "activations")
    monkeypatch.setattr("crossdiff.dictionaries.job.read", lambda kind, x: torch.zeros_like(x[:, :1]).float())
    with pytest.raises(UserError, match="same activation"):
        go(manifest, tmp_path / "out", small("diff-sae"))


def test_settings_of_the_study_parse():
    assert settings(Recipe, '{"kind": "diff-sae", "latents": 64, "k": 4}').unit_norm
