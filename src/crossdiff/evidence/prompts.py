"""Prompts that the chat model answers itself, greedily: the conversations of the KL experiment (study_spec §3.3, Data).

python -m crossdiff.evidence.prompts --settings EVIDENCE --pair P/pair/pair.json --context TOKENS
    --out P/evidence/prompts

Prompt and answer together are at most as long as a row of the corpus (the study: 1,024 tokens).
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from crossdiff.cli import progress, stage
from crossdiff.corpus.read import Record, checked, local_files, records
from crossdiff.corpus.render import RowError, render
from crossdiff.corpus.rows import Row, table
from crossdiff.errors import UserError
from crossdiff.evidence.prepare import answer_span, answered
from crossdiff.evidence.settings import Evidence, Prompts
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import record
from crossdiff.truth.answers import ROWS, replies

SOURCE = "prompts"
"""Label of the rows."""
SIDE_BY_SIDE = 4
"""Batches of prompts answered at a time, so that several threads have one each."""


def asked(stream: Iterable[Record], tokenizer: PreTrainedTokenizerBase, longest: int) -> Iterator[str]:
    """The first user message of each row, once, if it is at most ``longest`` tokens as the models read it.

    Rows that are empty or no proper conversation are passed over.
    """
    seen = set()
    for _, value in stream:
        try:
            content = checked(value)
        except RowError:
            continue
        users = [content] if isinstance(content, str) else [m["content"] for m in content if m["role"] == "user"]
        prompt = users[0].strip()
        if prompt not in seen and len(render(tokenizer, [{"role": "user", "content": prompt}], True).ids) <= longest:
            seen.add(prompt)
            yield prompt


def exchanges(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Iterator[str],
    count: int,
    new_tokens: int,
    context: int,
) -> Iterator[Row]:
    """Rows of the first ``count`` prompts that the model answers, with answers of at most ``new_tokens`` tokens, cut
    after ``context`` tokens.

    An answer that is cut off ends its row: what the template would set after it is not the model's.
    """
    found = 0
    while batch := list(islice(prompts, min(SIDE_BY_SIDE * ROWS, count - found))):
        for prompt, answer in zip(batch, replies([model], tokenizer, batch, new_tokens)[0], strict=True):
            exchange = answered(tokenizer, prompt, answer) if answer else None
            if exchange is None:
                continue
            start, end = answer_span(exchange)
            kept = min(end if end - start >= new_tokens else len(exchange.ids), context)
            ids, roles = np.array(exchange.ids[:kept], np.uint32), np.array(exchange.roles[:kept], np.uint8)
            found += 1
            yield Row("validation", SOURCE, None, None, ids, roles)


def source_of(chosen: Evidence) -> Prompts:
    """The prompts of the settings; UserError if there are none."""
    if chosen.prompts is None:
        raise UserError("evidence.prompts: name the file or data set that holds the prompts")
    return chosen.prompts


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The evidence part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json of the two models.")],
    context: Annotated[int, typer.Option(min=2, help="Tokens of a row at most, prompt and answer together.")],
    out: Annotated[Path, typer.Option(help="Folder for rows.parquet and run.json.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
) -> None:
    """Let the chat model answer prompts: rows.parquet, all of it held out."""
    chosen = settings(Evidence, settings_)
    source = source_of(chosen)
    prepare(threads, device)
    inputs: list[Path | str] = [pair, *local_files(source)]
    with record("evidence/prompts", out / "run.json", chosen.model_dump(mode="json"), inputs) as run:
        models = Pair.read(pair)
        tokenizer = models.tokenizer()
        longest = min(source.prompt_tokens, context - 1)
        prompts = asked(records(source), tokenizer, longest)
        rows = []
        with progress(chosen.conversations, "answering", "prompt") as bar:
            model = models.model("chat", device)
            for row in exchanges(model, tokenizer, prompts, chosen.conversations, source.new_tokens, context):
                rows.append(row)
                bar.update()
        if not rows:
            raise UserError(f"{source.where}: {source.path} holds no prompt of at most {longest} tokens")
        frame = table(rows, chosen.seed)
        with whole(out / "rows.parquet") as temporary:
            frame.write_parquet(temporary)
        run.result(prompts=len(rows), tokens=int(frame["ids"].list.len().sum()), context=context)


if __name__ == "__main__":
    stage(main)
