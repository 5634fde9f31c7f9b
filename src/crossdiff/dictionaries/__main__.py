"""Train one dictionary for one seed.

python -m crossdiff.dictionaries --settings RECIPE --name NAME --seed N
    --activations P/activations/manifest.json --out P/dictionaries/NAME-seedN

One dictionary a process: a step takes far longer than its batch takes to load, and batches are made ahead, so that
several dictionaries in one process would save nothing but the page cache's copies. Where reading does bound, because
both models have to read anew, all train in one process: `crossdiff.dictionaries.stream`.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from crossdiff.activations.prefetch import batches_ahead
from crossdiff.activations.store import Activations, read_manifest
from crossdiff.cli import progress, stage
from crossdiff.dictionaries.architecture import read
from crossdiff.dictionaries.job import check, described, fingerprint, finish, fit, log
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.train import Point, train
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import sha256_file
from crossdiff.provenance.record import record


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
        about = described(name, recipe, seed, source, read_manifest(activations, ("layer", "dtype", "pair")))
        kept_in = out / "checkpoint.safetensors"
        with progress(recipe.steps, f"{name}-seed{seed}", "step") as bar:

            def tell(point: Point) -> None:
                log(run, point)
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


if __name__ == "__main__":
    stage(main)
