"""What a training needs before it begins and leaves when it has ended, whether or not it shares its stream.

Shapes: B tokens, L models, D width.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import torch

from crossdiff.activations.store import View
from crossdiff.dictionaries import normalise
from crossdiff.dictionaries.architecture import Dictionary, read
from crossdiff.dictionaries.formats import save
from crossdiff.dictionaries.metrics import validate
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.train import Point
from crossdiff.errors import UserError
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import Run

BLOCK = 2048
"""Tokens read at a time for the normaliser and for validation."""


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


def log(run: Run, point: Point) -> None:
    """Note a point of the curves in the step's record."""
    run.log({key: value for key, value in point.items() if value is not None}, step=int(point["step"] or 0))
