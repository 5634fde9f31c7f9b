"""Train one dictionary for one seed.

python -m crossdiff.dictionaries --settings RECIPE --name NAME --seed N
    --activations P/activations/manifest.json --out P/dictionaries/NAME-seedN

One dictionary a process: a step takes far longer than its batch takes to load, and batches are made ahead, so that
several dictionaries in one process would save nothing but the page cache's copies. Where reading does bound, because
both models have to read anew, all train in one process: `crossdiff.dictionaries.stream`.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import torch
import typer

from crossdiff.activations.prefetch import batches_ahead
from crossdiff.activations.store import Activations, View, read_manifest
from crossdiff.cli import progress, stage
from crossdiff.dictionaries import normalise
from crossdiff.dictionaries.architecture import Dictionary, read
from crossdiff.dictionaries.formats import save
from crossdiff.dictionaries.metrics import validate
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.train import Point, train
from crossdiff.errors import UserError
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import sha256_file, whole
from crossdiff.provenance.record import Run, record

BLOCK = 2048
"""Tokens read at a time for the normaliser and for validation."""


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The recipe (dictionaries.NAME): JSON, or a file.")],
    name: Annotated[str, typer.Option(help="Name of the dictionary in the config.")],
    activations: Annotated[Path, typer.Option(help="manifest.json of the extracted activations.")],
    out: Annotated[Path, typer.Option(help="Folder for the dictionary, its curves and run.json.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of initialisation and batch order.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train a crosscoder or an SAE: dictionary.safetensors, dictionary.json, training.parquet, run.json."""
    prepare(threads, device)
    recipe = settings(Recipe, settings_)
    params = {"dictionary": name, "seed": seed, "recipe": asdict(recipe), "device": device}
    with record(f"dictionaries/{name}-seed{seed}", out / "run.json", params, [activations]) as run:
        store = Activations.open(activations)
        view, held_out = store.view("train", recipe.sources), store.view("validation")
        check(view, held_out, recipe, name)
        normaliser = fit(view, recipe).to(device)
        source = {"manifest_sha256": sha256_file(activations), "tokens": view.tokens}
        about = described(name, recipe, seed, source, read_manifest(activations))
        kept_in = out / "checkpoint.safetensors"
        with progress(recipe.steps, f"{name}-seed{seed}", "step") as bar:

            def tell(point: Point) -> None:
                run.log({key: value for key, value in point.items() if value is not None}, step=int(point["step"] or 0))
                bar.set_postfix_str(f"fve {point['fve']:.3f}, l0 {point['l0']:.0f}, dead {point['dead']:.1%}")

            started = time.perf_counter()
            dictionary, curves = train(
                lambda start: (
                    read(recipe.kind, x_BLD) for x_BLD in batches_ahead(view, recipe.batch, seed, start, device)
                ),
                recipe,
                normaliser,
                seed,
                kept_in=kept_in,
                fingerprint=fingerprint(recipe, seed, source, threads, device),
                about=about,
                on_step=bar.update,
                on_point=tell,
            )
        seconds = time.perf_counter() - started
        finish(run, dictionary, curves, recipe, held_out, out, view.tokens, seconds)
        kept_in.unlink(missing_ok=True)


def described(name: str, recipe: Recipe, seed: int, source: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """What a dictionary says of itself."""
    return {
        "name": name,
        "seed": seed,
        "layer": manifest["layer"],
        "recipe": asdict(recipe),
        "activations": source | {"dtype": manifest["dtype"]},
        "pair": manifest["pair"],
    }


def finish(
    run: Run,
    dictionary: Dictionary,
    curves: list[Point],
    recipe: Recipe,
    held_out: View,
    out: Path,
    tokens: int,
    seconds: float,
) -> None:
    """Validate a dictionary, write its files and note its numbers; ``tokens`` are those it could be trained on."""
    device = dictionary.mean.device
    results = validate(dictionary, (read(recipe.kind, x_BLD).to(device) for x_BLD in blocks(held_out)))
    save(dictionary, out)
    with whole(out / "training.parquet") as temporary:
        table(curves).write_parquet(temporary)
    run.result(
        **results,
        tokens={"train": tokens, "validation": held_out.tokens, "presented": recipe.steps * recipe.batch},
        threshold=dictionary.threshold.tolist(),
        training={key: curves[-1][key] for key in ("loss", "fve", "l0", "dead")} | {"seconds": round(seconds, 3)},
    )


def check(view: View, held_out: View, recipe: Recipe, name: str) -> None:
    """UserError if the activations cannot serve the recipe."""
    where = f"dictionaries.{name}"
    chosen = f" of the sources {', '.join(recipe.sources)}" if recipe.sources else ""
    if view.tokens == 0:
        raise UserError(f"{where}.sources: there are no training tokens{chosen}; choose others, or extract some")
    if recipe.batch > view.tokens:
        raise UserError(
            f"{where}.batch = {recipe.batch} exceeds the {view.tokens} training tokens{chosen}:"
            " lower it, or raise corpus.train_tokens"
        )
    if held_out.tokens == 0:
        raise UserError("corpus.validation_tokens: there are no validation tokens to measure a dictionary on; raise it")


def fit(view: View, recipe: Recipe) -> normalise.Normaliser:
    """The normaliser of what the dictionary reads: all training tokens of its sources."""
    if recipe.normalise:
        return normalise.fit(read(recipe.kind, x_BLD) for x_BLD in blocks(view))
    width = next(blocks(view)).shape[2]
    return normalise.identity(recipe.models, width)


def blocks(view: View) -> Iterator[torch.Tensor]:
    """Pair activations of a view in stored order."""
    return (block.x_BLD for block in view.blocks(BLOCK))


def fingerprint(recipe: Recipe, seed: int, source: dict[str, Any], threads: int, device: str) -> str:
    """Names a training: a checkpoint of another is not taken up. Sums depend on threads, device and PyTorch."""
    facts = [asdict(recipe), seed, source, threads, device, torch.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def table(curves: list[Point]) -> pl.DataFrame:
    """Curves as one row a point; a quantity the kind does not have is null."""
    frame = pl.DataFrame(curves, infer_schema_length=None)
    whole_numbers = [pl.col(column).cast(pl.Int64) for column in ("step", "tokens")]
    return frame.with_columns(pl.exclude("step", "tokens").cast(pl.Float64), *whole_numbers)


if __name__ == "__main__":
    stage(main)
