"""Ask both models the prompts that were never trained on, and measure how often each planted behaviour shows.

python -m crossdiff.truth --settings PLANTING --pair results/P/pair/pair.json --out results/P/truth
"""

import json
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from crossdiff.cli import progress, stage
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.parts.pair import Planting
from crossdiff.process import prepare
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import record
from crossdiff.truth.answers import SIDES, Answer, questions, rates, replies
from crossdiff.truth.behaviours import load

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "behaviour": pl.String,
    "kind": pl.String,
    "use": pl.String,
    "prompt": pl.String,
    "answer_base": pl.String,
    "answer_chat": pl.String,
    "present_base": pl.Boolean,
    "present_chat": pl.Boolean,
    "spans_chat": pl.List(pl.Struct({"start": pl.UInt32, "end": pl.UInt32})),
}
"""Columns of answers.parquet; spans are characters of ``answer_chat``."""


def main(
    settings_: Annotated[str, typer.Option("--settings", help="Planting, as JSON or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json")],
    out: Annotated[Path, typer.Option(help="Folder for answers.parquet and behaviours.json.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Measure the planted behaviours in both models."""
    planting = settings(Planting, settings_)
    prepare(threads, device)
    asked = questions(load(planting.behaviours))
    prompts = [question.prompt for question in asked]
    with record(name="truth", out=out / "run.json", params=planting.model_dump(), inputs=[pair]) as run:
        models = Pair.read(pair)
        tokenizer = models.tokenizer()
        both = [models.model(which, device) for which in SIDES]
        with progress(2 * len(asked), "asking", "answer") as bar:
            said = replies(both, tokenizer, prompts, planting.answer_tokens, bar.update)
        answers = [Answer(*each) for each in zip(asked, *said, strict=True)]
        measured = rates(answers)
        with whole(out / "answers.parquet") as temporary:
            pl.DataFrame([answer.row() for answer in answers], schema=SCHEMA).write_parquet(temporary)
        with whole(out / "behaviours.json") as temporary:
            temporary.write_text(json.dumps(measured, indent=1) + "\n")
        for name, measures in measured.items():
            run.result(**{name: {key: measures[key] for key in ("held_out", "control")}})


if __name__ == "__main__":
    stage(main)
