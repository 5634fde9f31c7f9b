"""The step at its smallest: the tables it writes, that they repeat, and what the latents in them show."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from crossdiff.attribution.usage import ROLES
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.parsing import parse
from crossdiff.truth.synthetic.__main__ import NULLS, main, worlds
from crossdiff.truth.synthetic.learn import train
from crossdiff.truth.synthetic.presets import PRESETS
from crossdiff.truth.synthetic.world import build

RECIPE = {"kind": "crosscoder", "latents": 4000, "k": 90, "steps": 1000, "warmup_steps": 100, "threshold_start": 200}
RECIPES = {
    "both": RECIPE,
    "l1": RECIPE | {"sparsity": "l1", "l1": 0.1, "init_norm": 0.05},
    "chat": RECIPE | {"kind": "chat-sae"},
    "diff": RECIPE | {"kind": "diff-sae"},
    "base": RECIPE | {"kind": "base-sae"},
}
LABELS = ["world", "dictionary", "kind", "seed"]
TRUTH = ["factor", "match_cosine", "true_class", "true_effect", "true_frequency", "firing_f1"]


def run(out: Path) -> Path:
    main('{"preset": "tiny", "seeds": [3]}', json.dumps(RECIPES), out)
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("synthetic"))


def test_one_row_a_latent_with_attributions_columns_and_the_truth(made: Path) -> None:
    latents = pl.read_parquet(made / "latents.parquet")
    assert latents.columns[:4] == LABELS
    assert set(TRUTH) | {"delta_norm", "nu_reconstruction", "nu_error", "nu_activation", "nu_valid", "dead"} <= set(
        latents.columns
    )
    assert not [name for name in latents.columns if name.partition("_")[0] in ROLES]
    assert latents.height == (1 + NULLS) * len(RECIPES) * 48
    of_null = latents.filter(pl.col("world") == "null")
    assert of_null["seed"].unique(maintain_order=True).to_list() == list(range(3, 3 + NULLS))
    assert latents.group_by(LABELS).len()["len"].unique().to_list() == [48]
    unknown = latents.filter(pl.col("factor").is_null())
    assert unknown["true_class"].unique().to_list() in ([], ["none"])
    assert unknown.select(TRUTH[1]).null_count().item() == unknown.height


def test_the_null_has_no_class_but_identical_and_none(made: Path) -> None:
    latents = pl.read_parquet(made / "latents.parquet").filter(pl.col("world") == "null")
    assert set(latents["true_class"]) <= {"identical", "none"}
    assert set(latents.filter(pl.col("kind") == "diff-sae")["true_class"]) == {"none"}
    factors = pl.read_parquet(made / "factors.parquet").filter(pl.col("world") == "null")
    assert set(factors["class"]) == {"identical"}


def test_every_score_of_a_share_is_one(made: Path) -> None:
    scores = pl.read_parquet(made / "scores.parquet").fill_nan(None)
    shares = scores.filter(~pl.col("score").is_in(["l0", "called", "rotation_error", "fve"]))["value"].drop_nulls()
    assert shares.min() >= 0  # type: ignore[operator]
    assert shares.max() <= 1 + 1e-6  # type: ignore[operator]
    assert scores.filter(pl.col("dictionary") == "base")["criterion"].drop_nulls().is_empty()


def test_it_repeats(made: Path, tmp_path: Path) -> None:
    again = run(tmp_path)
    for file in ("latents", "scores", "factors"):
        assert pl.read_parquet(made / f"{file}.parquet").equals(pl.read_parquet(again / f"{file}.parquet"))
    assert json.loads((again / "run.json").read_text())["results"]["pair"]["both"]["mcc_joint"] > 0


def test_a_world_is_learnt_beside_its_null_as_by_itself() -> None:
    preset = PRESETS["tiny"]
    recipe = preset.shrink(parse(Recipe, RECIPE))
    pair = build(preset.design, 3)
    drawn = {"pair": pair, "null": pair.null()}
    together = train(drawn, {"both": recipe}, preset, 3, lambda steps: None)
    assert list(together) == [("pair", "both"), ("null", "both")]
    for name, world in drawn.items():
        alone = train({name: world}, {"both": recipe}, preset, 3, lambda steps: None)[name, "both"]
        assert all(torch.equal(tensor, together[name, "both"].tensors[part]) for part, tensor in alone.tensors.items())
    assert not torch.equal(*(model.decoder for model in together.values()))


@pytest.mark.parametrize(("seeds", "nulls"), [([3], [3, 4, 5]), ([7, 4], [7, 4, 8]), ([1, 2, 3, 9], [1, 2, 3, 9])])
def test_a_seed_has_at_least_two_other_nulls_to_be_called_on(seeds: list[int], nulls: list[int]) -> None:
    drawn = worlds(seeds)
    assert [seed for seed, names in drawn.items() if "pair" in names] == seeds
    assert [seed for seed, names in drawn.items() if "null" in names] == nulls
