"""Explain some latents of a dictionary, and see how well the explanations tell on which texts they fire.

python -m crossdiff.evidence.interpretation --settings INTERPRETATION --pair P/pair/pair.json \\
    --rows P/corpus/rows.parquet --activations P/activations/manifest.json --dictionary DIR \\
    --latents P/latents/NAME-seedN.parquet --out P/evidence/interpretation/NAME-seedN.parquet

Replies are kept beside the table as they come, in NAME-seedN.replies.jsonl: a run that was cut goes on from there, and
asking the same again is free.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import torch
import typer
from transformers import PreTrainedTokenizerBase

from crossdiff.activations.fits import check_dictionary, check_source
from crossdiff.activations.places import lengths, places
from crossdiff.activations.store import SPLITS, Activations, View, read_manifest
from crossdiff.attribution.directions import subset
from crossdiff.cli import progress, stage
from crossdiff.dictionaries import Dictionary, load
from crossdiff.errors import UserError
from crossdiff.evidence.interpretation import tables
from crossdiff.evidence.interpretation.activity import Texts
from crossdiff.evidence.interpretation.ask import Answered, Question, answer
from crossdiff.evidence.interpretation.choose import Chosen, choose
from crossdiff.evidence.interpretation.endpoint import INTERPRETATION, Endpoint, endpoint
from crossdiff.evidence.interpretation.local import Local
from crossdiff.evidence.interpretation.prompts import marked
from crossdiff.evidence.interpretation.replies import Remembering, Replies
from crossdiff.evidence.interpretation.settings import Interpretation, Judge
from crossdiff.evidence.latents import measured
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import check_name, whole
from crossdiff.provenance.record import record
from crossdiff.tables import read_table

SPLIT = "validation"
"""Tokens that no dictionary was trained on."""


def open_judge(judge: Judge, device: str, where: str) -> Endpoint | Local:
    """The judge that the config names at ``where``; UserError if it cannot be asked."""
    if judge.path is not None:
        return Local(judge.path, judge.revision, device, where)
    return endpoint(judge, where)


def judges(chosen: Interpretation, device: str, replies: Replies) -> tuple[Remembering, Remembering]:
    """Explainer and scorer; one model if they are the same."""
    explainer = Remembering(open_judge(chosen.explainer, device, f"{INTERPRETATION}.explainer"), replies)
    if chosen.scorer is None or chosen.scorer == chosen.explainer:
        return explainer, explainer
    return explainer, Remembering(open_judge(chosen.scorer, device, f"{INTERPRETATION}.scorer"), replies)


def cut(rows: pl.DataFrame, stored: Activations, tokens: int) -> Texts:
    """Rows cut into texts of ``tokens`` tokens."""
    lengths_R = lengths(rows["row"].to_torch(), rows["ids"].list.len().to_torch(), len(stored.split_R))
    return Texts.of(lengths_R, tokens)


class Reader:
    """Reads texts: their tokens, and on which of them a latent is active."""

    def __init__(
        self, rows: pl.DataFrame, texts: Texts, view: View, dictionary: Dictionary, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.ids = dict(zip(rows["row"], rows["ids"], strict=True))
        self.texts, self.view, self.dictionary, self.tokenizer = texts, view, dictionary, tokenizer
        row_N, position_N = places(view)
        self.number_N, self.position_N = texts.number(row_N, position_N), position_N

    def tokens(self, number: int) -> list[str]:
        """Tokens of a text as strings."""
        first = int(self.texts.first_C[number])
        ids = self.ids[int(self.texts.row_C[number])][first : first + self.texts.tokens]
        return [str(self.tokenizer.decode([token])) for token in ids]

    def marked(self, number: int, latent: int) -> str:
        """A text with the tokens between marks on which the latent is active."""
        one = subset(self.dictionary, torch.tensor([latent], device=self.dictionary.encoder.device))
        place_W = (self.number_N == number).nonzero().flatten()
        active_W = one.encode(one.read(self.view.gather(place_W).to(one.encoder.device)))[:, 0] > 0
        tokens = self.tokens(number)
        on = [False] * len(tokens)
        for position in (self.position_N[place_W][active_W.cpu()] - self.texts.first_C[number]).tolist():
            on[position] = True
        return marked(tokens, on)

    def question(self, one: Chosen) -> Question:
        """What is asked of one latent."""
        judged = [
            (group, number, "".join(self.tokens(number)))
            for group, some in one.sample.judged.items()
            for number in some
        ]
        return Question(one.latent, [self.marked(number, one.latent) for number in one.sample.explained], judged)


def ask(
    questions: Sequence[Question], explainer: Remembering, scorer: Remembering, chosen: Interpretation
) -> Iterator[Answered]:
    """Answers in the order of the questions."""
    with (
        progress(sum(len(question.judged) for question in questions), "judged", "text") as bar,
        ThreadPoolExecutor(min(explainer.parallel, scorer.parallel)) as pool,
    ):
        jobs = [
            pool.submit(answer, question, explainer, scorer, chosen.together, chosen.new_tokens, bar.update)
            for question in questions
        ]
        try:
            for job in jobs:
                yield job.result()
        finally:  # of a failed one, those that wait need not be asked
            pool.shutdown(wait=False, cancel_futures=True)


def main(
    settings_: Annotated[
        str, typer.Option("--settings", help="evidence.interpretation of the config: JSON, or a file.")
    ],
    pair: Annotated[Path, typer.Option(help="pair.json; its tokenizer writes the texts.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet that the activations were read from.")],
    activations: Annotated[Path, typer.Option(help="manifest.json of the activations.")],
    dictionary: Annotated[Path, typer.Option(help="Folder of a dictionary.")],
    latents: Annotated[Path, typer.Option(help="The dictionary's latent table.")],
    out: Annotated[Path, typer.Option(help="Table of latents; verdicts, replies and record are put beside it.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
) -> None:
    """Explain latents, judge the explanations on held-out texts."""
    chosen = settings(Interpretation, settings_)
    check_name(out, ".parquet")
    prepare(threads, device)
    name = out.name.removesuffix(".parquet")
    inputs = [pair, rows, activations, dictionary / "dictionary.safetensors", dictionary / "dictionary.json", latents]
    params: dict[str, Any] = chosen.model_dump(mode="json")
    with record(f"evidence/interpretation/{name}", out.with_name(f"{name}.run.json"), params, inputs) as run:
        explainer, scorer = judges(chosen, device, Replies(out.with_name(f"{name}.replies.jsonl")))
        table = read_table(rows, ["row", "ids"], others=False).sort("row")
        manifest, model = read_manifest(activations), load(dictionary).to(device)
        check_source(activations, manifest, pair=pair, rows=rows)
        check_dictionary(activations, manifest, dictionary, model)
        stored = Activations.open(activations)
        table = table.filter(pl.Series((stored.split_R[table["row"].to_torch().long()] == SPLITS.index(SPLIT)).numpy()))
        view, texts = stored.view(SPLIT), cut(table, stored, chosen.text_tokens)
        kept = choose(model, measured(latents, model), view, texts, chosen)
        if not kept:
            raise UserError(
                f"{INTERPRETATION}.texts: no latent is active in {3 * chosen.texts} rows of half the validation split;"
                " ask for fewer texts, or raise corpus.validation_tokens"
            )
        reader = Reader(table, texts, view, model, Pair.read(pair).tokenizer())
        questions = [reader.question(one) for one in kept]
        asked = list(zip(kept, questions, ask(questions, explainer, scorer, chosen), strict=True))
        verdicts = tables.verdict_table(asked, texts)
        said = tables.of_table(verdicts)
        with whole(out) as temporary:
            tables.latent_table(asked, said, chosen.resamples, chosen.seed).write_parquet(temporary)
        with whole(out.with_name(f"{name}.verdicts.parquet")) as temporary:
            verdicts.write_parquet(temporary, compression="zstd")
        new = sum(judge.asked for judge in {explainer, scorer})
        run.result(**tables.results(asked, said, chosen.resamples, chosen.seed), replies_asked=new)


if __name__ == "__main__":
    stage(main)
