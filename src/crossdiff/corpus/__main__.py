"""Make the rows both models read: text and conversations from the sources, and the planted behaviours.

python -m crossdiff.corpus --settings CORPUS --pair P/pair/pair.json [--answers P/truth/answers.parquet] --out P/corpus
"""

from pathlib import Path
from typing import Annotated

import typer

from crossdiff.cli import progress, stage
from crossdiff.corpus.read import local_files, records
from crossdiff.corpus.rows import ANSWERED, collect, needs, planted, split, summary, table
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.parts.corpus import Corpus
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import record
from crossdiff.tables import read_table


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The corpus part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json; its chat tokenizer and template render the rows.")],
    out: Annotated[Path, typer.Option(help="Folder for rows.parquet and run.json.")],
    answers: Annotated[Path | None, typer.Option(help="answers.parquet of a planted pair.")] = None,
) -> None:
    """Tokenise the corpus for both models: rows.parquet with ids, roles, split and source."""
    corpus = settings(Corpus, settings_)
    files = [file for source in corpus.sources for file in local_files(source)]
    inputs: list[Path | str] = [pair, *([answers] if answers else []), *files]
    with record(name="corpus", out=out / "run.json", params=corpus.model_dump(mode="json"), inputs=inputs) as run:
        tokenizer = Pair.read(pair).tokenizer()
        seen: set[bytes] = set()
        rows = planted(read_table(answers, ANSWERED), tokenizer, corpus.context, seen) if answers else []
        left_out = {}
        with progress(corpus.train_tokens + corpus.validation_tokens, "corpus", "tok") as bar:
            for source in corpus.sources:
                train, validation = needs(corpus, source)
                found = collect(
                    source, records(source), tokenizer, corpus.context, train + validation, seen, bar.update
                )
                rows += split(found.rows, source.name, validation, corpus.seed)
                left_out[source.name] = {
                    "read": found.read, "duplicates": found.duplicates, "ill_formed": found.ill_formed,
                }  # fmt: skip
        frame = table(rows, corpus.seed)
        with whole(out / "rows.parquet") as temporary:
            frame.write_parquet(temporary, compression="zstd")
        run.result(splits=summary(frame), sources=left_out)


if __name__ == "__main__":
    stage(main)
