"""Answers of both models, side by side, while directions of a dictionary's latents are added to their stream.

python -m crossdiff.evidence.steering --settings EVIDENCE --pair P/pair/pair.json \\
    --activations P/activations/manifest.json [--answers P/truth/answers.parquet] \\
    --dictionary DIR --latents P/latents/NAME-seedN.parquet [--calls P/calls/NAME.parquet] \\
    --out P/evidence/steering-NAME-seedN
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import torch
import typer
from transformers import PreTrainedTokenizerBase

from crossdiff.activations.fits import check_dictionary, check_source
from crossdiff.activations.store import SITE, read_manifest
from crossdiff.cli import progress, stage
from crossdiff.corpus.render import render
from crossdiff.dictionaries import Dictionary, load
from crossdiff.errors import UserError
from crossdiff.evidence.latents import CALLS, called, measured, seed_of
from crossdiff.evidence.prepare import measures, stop_tokens
from crossdiff.evidence.sets import Candidates, by_nu
from crossdiff.evidence.settings import Evidence, Steering
from crossdiff.evidence.steering.pushes import directions, pushes, steered
from crossdiff.evidence.streams import Site
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import record
from crossdiff.tables import read_table
from crossdiff.truth.behaviours import load as load_behaviours

ASKED = ("behaviour", "kind", "prompt")
"""Columns of answers.parquet that are needed."""
STEERING_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "model": pl.String, "latent": pl.UInt32, "scale": pl.Float64, "prompt": pl.String, "behaviour": pl.String,
    "answer": pl.String, "shows": pl.List(pl.String),
}  # fmt: skip
"""``latent`` is null and ``scale`` 0 without steering; ``behaviour`` is the one whose control the prompt is;
``shows`` names the planted behaviours that the answer shows."""


def questions(steering: Steering, answers: pl.DataFrame | None) -> list[tuple[str, str | None]]:
    """(prompt, behaviour whose control it is) of everything that is asked."""
    asked: list[tuple[str, str | None]] = [(prompt, None) for prompt in steering.prompts]
    if answers is not None:
        controls = answers.filter(pl.col("kind") == "control").group_by("behaviour", maintain_order=True)
        asked += controls.head(steering.controls).select("prompt", "behaviour").rows()
    return asked


def called_first(own: Sequence[int], order: Sequence[int]) -> list[int]:
    """The latents called chat-specific, then the others; both in ``order``, with those called that it lacks last."""
    place = {latent: number for number, latent in enumerate(order)}
    mine = sorted(own, key=lambda latent: place.get(latent, len(order)))
    return [*mine, *(latent for latent in order if latent not in set(own))]


def steering_table(
    site: Site,
    tokenizer: PreTrainedTokenizerBase,
    dictionary: Dictionary,
    latents: pl.DataFrame,
    own: Sequence[int],
    answers: pl.DataFrame | None,
    chosen: Evidence,
    steering: Steering,
) -> pl.DataFrame:
    """Answers to every question without steering, and under each chosen latent at each scale; ``own`` are called."""
    candidates = Candidates(chosen.candidates, chosen.candidate_latents, chosen.candidate_nu)
    order = by_nu(dictionary.kind, measures(latents), candidates).tolist()
    numbers = called_first(own, order)[: steering.latents]
    largest_F = torch.from_numpy(latents["max"].fill_null(0.0).to_numpy().copy())
    vectors = dict(zip(numbers, directions(dictionary, largest_F, numbers), strict=True))
    asked = questions(steering, answers)
    prompts = [render(tokenizer, [{"role": "user", "content": prompt}], True).ids for prompt, _ in asked]
    rules = load_behaviours(dict.fromkeys(answers["behaviour"])) if answers is not None else []
    wanted = pushes(len(asked), numbers, steering.scales)
    rows: list[dict[str, Any]] = []
    with progress(len(wanted) * len(steering.models), "steering", "answer") as bar:
        for model in steering.models:
            made = steered(site, model, prompts, wanted, vectors, chosen.new_tokens, stop_tokens(tokenizer))
            for each, text in zip(wanted, decoded(tokenizer, made), strict=True):
                prompt, behaviour = asked[each.prompt]
                shows = [rule.name for rule in rules if rule.spans(text)]
                rows.append(
                    {"model": model, "latent": each.latent, "scale": each.scale, "prompt": prompt}
                    | {"behaviour": behaviour, "answer": text, "shows": shows}
                )
            bar.update(len(wanted))
    return pl.DataFrame(rows, schema=STEERING_SCHEMA)


def decoded(tokenizer: PreTrainedTokenizerBase, answers: Sequence[Sequence[int]]) -> list[str]:
    """Answers as text, without special tokens."""
    return [str(tokenizer.decode(list(tokens), skip_special_tokens=True)).strip() for tokens in answers]


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The evidence part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json of the two models.")],
    activations: Annotated[Path, typer.Option(help="manifest.json: the layer, and which norms are masked.")],
    dictionary: Annotated[Path, typer.Option(help="Folder of a dictionary.")],
    latents: Annotated[Path, typer.Option(help="The dictionary's latent table.")],
    out: Annotated[Path, typer.Option(help="Folder for steering.parquet and run.json.")],
    calls: Annotated[Path | None, typer.Option(help="Calls of the dictionary's latents, of all seeds.")] = None,
    answers: Annotated[Path | None, typer.Option(help="answers.parquet of a planted pair.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
) -> None:
    """Generate answers while single latents are added."""
    chosen = settings(Evidence, settings_)
    if chosen.steering is None:
        raise UserError("evidence.steering: say what to steer with ({} for the defaults)")
    prepare(threads, device)
    weights = [dictionary / "dictionary.safetensors", dictionary / "dictionary.json"]
    inputs = [pair, activations, *weights, latents, *(file for file in (calls, answers) if file)]
    with record(f"evidence/{out.name}", out / "run.json", chosen.model_dump(mode="json"), inputs) as run:
        models = Pair.read(pair)
        manifest, model = read_manifest(activations, SITE), load(dictionary).to(device)
        check_source(activations, manifest, pair=pair)
        check_dictionary(activations, manifest, dictionary, model)
        site = Site.of(models, manifest, device)
        known = read_table(answers, ASKED) if answers else None
        own = (called(read_table(calls, CALLS), seed_of(latents)) if calls else None) or []
        table = steering_table(
            site, models.tokenizer(), model, measured(latents, model), own, known, chosen, chosen.steering
        )
        with whole(out / "steering.parquet") as temporary:
            table.write_parquet(temporary)
        run.result(latents=table["latent"].drop_nulls().unique(maintain_order=True).to_list(), answers=len(table))


if __name__ == "__main__":
    stage(main)
