"""Train all dictionaries for all seeds in one pass over training tokens that both models read on the way.

python -m crossdiff.dictionaries.stream --settings '{"NAME": RECIPE, …}' --seeds 0 --seeds 1 --pair P/pair/pair.json
    --rows P/corpus/rows.parquet --activations P/activations/manifest.json --out P/dictionaries

For `activations.store: stream`. Normalisers are fitted to the stored sample, dictionaries validated on stored tokens.
"""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from crossdiff.activations.checks import NAMES
from crossdiff.activations.fits import check_source
from crossdiff.activations.rows import ROWS, read_rows
from crossdiff.activations.store import SPLITS, Activations, View, read_manifest
from crossdiff.activations.stream import Stream
from crossdiff.cli import progress, stage
from crossdiff.dictionaries.job import described, fingerprint, finish, fit, log
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.together import Learner, train_together
from crossdiff.dictionaries.train import Trainer
from crossdiff.errors import UserError
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import sha256_file
from crossdiff.provenance.record import Run, record
from crossdiff.tables import read_table


@dataclass(frozen=True)
class Job:
    """One dictionary of one seed."""

    name: str
    recipe: Recipe
    seed: int
    learner: Learner
    run: Run
    out: Path


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The dictionaries of the config: JSON, or a file.")],
    seeds: Annotated[list[int], typer.Option(min=0, help="Each seed of initialisation and order.")],
    pair: Annotated[Path, typer.Option(help="pair.json.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet.")],
    activations: Annotated[Path, typer.Option(help="manifest.json of the stored sample.")],
    out: Annotated[Path, typer.Option(help="Folder for the dictionaries' folders, NAME-seedN.")],
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train them all: the files of crossdiff.dictionaries for each dictionary and seed."""
    prepare(threads, device)
    recipes = settings(dict[str, Recipe], settings_)
    manifest = read_manifest(activations, ("pair", "rows_sha256", "settings", "dtype", "layer"))
    store = Activations.open(activations)
    stream, held_out = opened(store, manifest, rows, pair, device), store.view("validation")
    source = {"manifest_sha256": sha256_file(activations), "rows_sha256": sha256_file(rows)}
    if not recipes or len(set(seeds)) < len(seeds):
        raise UserError("--settings, --seeds: name at least one dictionary, and each seed once")
    for name, recipe in recipes.items():
        check(store.view("train", recipe.sources), held_out, recipe, candidates(stream, store, recipe), name)
    with ExitStack() as stack:
        jobs = []
        for name, recipe in recipes.items():
            normaliser = fit(store.view("train", recipe.sources), recipe).to(device)
            for seed in seeds:
                folder = out / f"{name}-seed{seed}"
                params = {"dictionary": name, "seed": seed, "recipe": asdict(recipe), "device": device}
                inputs = [activations, rows, pair]
                run = stack.enter_context(record(f"dictionaries/{folder.name}", folder / "run.json", params, inputs))
                mark = fingerprint(recipe, seed, source, threads, device)
                trainer = Trainer(recipe, normaliser, seed, folder / "checkpoint.safetensors", mark, partial(log, run))
                jobs.append(Job(name, recipe, seed, Learner(trainer), run, folder))
        started = time.perf_counter()
        with progress(len(seeds) * sum(recipe.steps for recipe in recipes.values()), "dictionaries", "step") as bar:
            train_together(stream, [job.learner for job in jobs], bar.update)
        # Reading serves all of them alike.
        reading = (time.perf_counter() - started - sum(job.learner.seconds for job in jobs)) / len(jobs)
        for job in jobs:
            started, seconds = time.perf_counter(), reading + job.learner.seconds
            tokens = candidates(stream, store, job.recipe)
            about = described(job.name, job.recipe, job.seed, source | {"tokens": tokens}, manifest)
            dictionary, curves = job.learner.trainer.outcome(about)
            finish(job.run, dictionary, curves, job.recipe, held_out, job.out, tokens, seconds)
            job.run.seconds = seconds + time.perf_counter() - started
    for job in jobs:
        (job.out / "checkpoint.safetensors").unlink(missing_ok=True)


def opened(store: Activations, manifest: dict[str, Any], rows: Path, pair: Path, device: str) -> Stream:
    """The stream of all training rows, read as the stored sample was."""
    models = Pair.read(pair)
    check_source(store.folder / "manifest.json", manifest, pair=pair, rows=rows)
    chosen = manifest["settings"]
    train_R = (store.split_R == SPLITS.index("train")).nonzero().flatten()
    return Stream(
        models=[models.lower(name, chosen["layer"], device) for name in NAMES],
        layer=chosen["layer"],
        rows=read_rows(read_table(rows, ROWS)).only(train_R),
        store=store,
        dtype=getattr(torch, chosen["dtype"]),
        batch_tokens=chosen["batch_tokens"],
        buffer_tokens=chosen["buffer_tokens"],
    )


def check(sample: View, held_out: View, recipe: Recipe, tokens: int, name: str) -> None:
    """UserError if the stored tokens, or the ``tokens`` to train on, cannot serve a dictionary."""
    if recipe.batch > tokens:
        raise UserError(
            f"dictionaries.{name}.batch = {recipe.batch} exceeds the {tokens} training tokens: lower it, or raise"
            " corpus.train_tokens"
        )
    if not sample.tokens:
        raise UserError(
            f"dictionaries.{name}.sources: the stored sample has no training token of them; choose other sources, or"
            " raise activations.sample_tokens"
        )
    if not held_out.tokens:
        raise UserError("corpus.validation_tokens: there are no validation tokens to measure a dictionary on; raise it")


def candidates(stream: Stream, store: Activations, recipe: Recipe) -> int:
    """Training tokens of a dictionary's sources, masked ones included: which those are is known once they are read."""
    source_R = store.source_R[stream.rows.number_R]
    wanted = torch.tensor([store.sources.index(source) for source in recipe.sources or store.sources])
    return int(stream.rows.lengths_R[torch.isin(source_R, wanted)].sum())


if __name__ == "__main__":
    stage(main)
