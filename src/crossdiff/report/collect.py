"""Files of the earlier steps -> one typed summary of the study. Reads; computes nothing.

Which dictionaries and seeds there are is told by the config, never by what lies in the folder, so that a left-over
run cannot slip into a report.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from crossdiff.config import Config
from crossdiff.dictionaries.published.settings import Published
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.provenance.origins import NULL
from crossdiff.report.called import with_calls
from crossdiff.report.reading import (
    ANSWERS,
    CALLS,
    COMPARISONS,
    DESCRIPTIONS,
    EXAMPLES,
    EXPLAINED,
    KL,
    LATENTS,
    PLANTED,
    ROWS,
    SCORES,
    SLOTS,
    STEERING,
    TOKENS,
    TRAINING,
    TWINS,
    TWO_SIDED,
    Reader,
)
from crossdiff.workflow import benchmarked, results


@dataclass(frozen=True)
class Run:
    """One dictionary of one seed, with all that was measured on it."""

    name: str
    seed: int
    record: dict[str, Any]
    """run.json of its training or import."""
    training: pl.DataFrame | None
    """Curves; None of a published dictionary."""
    latents: pl.DataFrame
    """One row a latent."""
    examples: pl.DataFrame
    """Texts on which some of the latents are active."""
    weights: Path | None
    """Its safetensors file."""
    comparisons: pl.DataFrame
    """Numbers over all its latents."""
    twins: pl.DataFrame
    """Twin pairs and their control; empty of an SAE."""
    slots: pl.DataFrame
    """One row for each latent and place of the template it is active at."""
    tokens: pl.DataFrame | None
    """Tokens that some of the latents promote and suppress; None in a study of an earlier version."""
    descriptions: pl.DataFrame | None
    """A phrase for each live latent; None in a study of an earlier version."""
    kl: pl.DataFrame
    behaviours: pl.DataFrame | None
    steering: pl.DataFrame | None
    """Answers under single latents; None where the config asks for none."""
    explained: pl.DataFrame | None
    """Accuracy of explanations, one row a judged latent; None of a seed for which none was asked."""
    collateral: pl.DataFrame | None
    detection: pl.DataFrame | None

    @property
    def folder(self) -> str:
        """Name under dictionaries/, latents/ and evidence/."""
        return f"{self.name}-seed{self.seed}"

    @property
    def results(self) -> dict[str, Any]:
        """Numbers on validation tokens: FVE, L0, dead share."""
        return self.record["results"]


@dataclass(frozen=True)
class Dictionary:
    """One dictionary, all seeds."""

    name: str
    recipe: Recipe | Published
    runs: tuple[Run, ...]

    @property
    def origin(self) -> str | None:
        """Where a published dictionary is from, with the commit of a hub id; None if it was trained."""
        if isinstance(self.recipe, Recipe):
            return None
        commit = self.runs[0].results["imported"]["commit"]
        folder = f"/{self.recipe.subfolder}" if self.recipe.subfolder else ""
        return self.recipe.origin + folder + (f"@{commit[:10]}" if commit else "")

    @property
    def two_sided(self) -> bool:
        """Whether it has a decoder for each model, hence Δ_norm and classes."""
        return self.recipe.models == 2


@dataclass(frozen=True)
class Study:
    """Everything the report is drawn from."""

    config: Config
    root: Path
    """results/<pair>."""
    pair: dict[str, Any]
    manifest: dict[str, Any]
    rows: pl.DataFrame
    """One row a row of the corpus: row, split, source, roles, tokens (their number)."""
    answers: pl.DataFrame | None
    """Answers of both models to the behaviours' prompts; None without planted behaviours."""
    behaviours: dict[str, Any] | None
    dictionaries: tuple[Dictionary, ...]
    kl: pl.DataFrame
    """Dictionary-free interventions."""
    layers: pl.DataFrame | None
    """The same after other blocks; None where the config asks for none."""
    effects: pl.DataFrame | None
    """Dictionary-free edits on the planted behaviours."""
    collateral: pl.DataFrame | None
    """What these edits do elsewhere."""
    detection: pl.DataFrame | None
    """Dictionary-free detection of the planted behaviours."""
    synthetic: pl.DataFrame | None
    """Scores on the synthetic pair; None where the config leaves it out."""
    null_manifest: dict[str, Any] | None
    """What was read of base and null tune; None where the config names no null tune."""
    records: dict[str, dict[str, Any]]
    """run.json of each step, by its path under ``root``, in the order of the study."""
    files: tuple[Path, ...] = field(repr=False)
    """Every file read."""

    @property
    def seeds(self) -> int:
        """Runs of a trained dictionary; 1 if all were published ones."""
        return max(len(item.runs) for item in self.dictionaries)

    @property
    def components(self) -> int:
        """Principal components in the KL experiment; 0 if it was run without."""
        return self.records["evidence/baselines/run.json"]["results"].get("components", 0)

    @cached_property
    def names(self) -> list[str]:
        """Names of the dictionaries, in the config's order."""
        return [dictionary.name for dictionary in self.dictionaries]


def collect(config: Config, root: Path) -> Study:
    """Read what the report of ``config`` needs from ``root`` = results/<pair>; UserError names a missing file."""
    read = Reader(root)
    pair, manifest = read.json("pair/pair.json"), read.json("activations/manifest.json")
    rows = read.table("corpus/rows.parquet", ROWS)
    planted = config.pair.behaves
    without = on_behaviours(read, "baselines", planted)
    dictionaries = tuple(
        Dictionary(name, recipe, tuple(run(read, name, recipe, seed, config) for seed in config.seeds_of(name)))
        for name, recipe in config.dictionaries.items()
    )
    return Study(
        config=config,
        root=root,
        pair=pair,
        manifest=manifest,
        rows=rows.select("row", "split", "source", "roles", tokens=pl.col("ids").list.len()),
        answers=read.table("truth/answers.parquet", ANSWERS) if planted else None,
        behaviours=read.json("truth/behaviours.json") if planted else None,
        dictionaries=dictionaries,
        kl=read.table("evidence/baselines/kl.parquet", KL),
        layers=read.table("evidence/layers/kl.parquet", ("layer", *KL)) if config.evidence.layer_sweep else None,
        effects=without["behaviours"],
        collateral=without["collateral"],
        detection=without["detection"],
        synthetic=synthetic(read, config),
        null_manifest=read.json(f"{NULL}/activations/manifest.json") if config.null_pair else None,
        records={name: read.record(name) for name in results(config) if name.endswith("run.json")},
        files=tuple(dict.fromkeys(read.files)),
    )


def synthetic(read: Reader, config: Config) -> pl.DataFrame | None:
    """Scores of all dictionaries on the synthetic pair; None if the study has none."""
    names = benchmarked(config)
    return (
        pl.concat([read.table(f"truth/synthetic/{name}/scores.parquet", SCORES) for name in names]) if names else None
    )


def run(read: Reader, name: str, recipe: Recipe | Published, seed: int, config: Config) -> Run:
    """One dictionary of one seed."""
    folder = f"{name}-seed{seed}"
    return Run(
        name=name,
        seed=seed,
        record=read.record(f"dictionaries/{folder}/run.json"),
        training=read.table(f"dictionaries/{folder}/training.parquet", TRAINING)
        if isinstance(recipe, Recipe)
        else None,
        latents=with_calls(
            read.table(f"latents/{folder}.parquet", LATENTS + (TWO_SIDED if recipe.models == 2 else ())),
            read.table(f"calls/{name}.parquet", CALLS).filter(pl.col("seed") == seed),
        ),
        examples=read.table(f"examples/{folder}.parquet", EXAMPLES),
        comparisons=read.table(f"latents/{folder}.comparisons.parquet", COMPARISONS),
        twins=read.table(f"latents/{folder}.twins.parquet", TWINS),
        slots=read.table(f"latents/{folder}.template.parquet", SLOTS),
        weights=read.found(f"dictionaries/{folder}/dictionary.safetensors"),
        tokens=read.optional(f"latents/{folder}.tokens.parquet", TOKENS),
        descriptions=read.optional(f"latents/{folder}.descriptions.parquet", DESCRIPTIONS),
        kl=read.table(f"evidence/{folder}/kl.parquet", KL),
        steering=read.table(f"evidence/steering-{folder}/steering.parquet", STEERING)
        if config.evidence.steering
        else None,
        explained=read.table(f"evidence/interpretation/{folder}.parquet", EXPLAINED)
        if config.evidence.interpretation and seed == config.seeds_of(name)[0]
        else None,
        **on_behaviours(read, folder, config.pair.behaves),
    )


def on_behaviours(read: Reader, folder: str, planted: bool) -> dict[str, pl.DataFrame | None]:
    """Tables of one evidence step on planted behaviours, by name; None where nothing was planted."""
    return {
        name: read.table(f"evidence/{folder}/{name}.parquet", needed) if planted else None
        for name, needed in PLANTED.items()
    }
