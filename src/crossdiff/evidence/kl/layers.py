"""Join the two models after other blocks too, without a dictionary: how much of the KL arises where.

python -m crossdiff.evidence.kl.layers --settings EVIDENCE --pair P/pair/pair.json --rows P/corpus/rows.parquet \\
    --out P/evidence/layers
"""

from pathlib import Path
from typing import Annotated, Literal

import polars as pl
import typer

from crossdiff.cli import progress, stage
from crossdiff.errors import UserError
from crossdiff.evidence.kl.patching import KL_SCHEMA
from crossdiff.evidence.kl.sweep import swept
from crossdiff.evidence.prepare import ROWS, conversations
from crossdiff.evidence.settings import Evidence
from crossdiff.evidence.streams import Site
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import record
from crossdiff.tables import read_table


def chosen_layers(wanted: Literal["all"] | list[int] | None, blocks: int) -> list[int]:
    """The blocks of a model with so many ``blocks``, ascending; UserError if one does not exist or none is wanted."""
    if wanted is None:
        raise UserError("evidence.layer_sweep: name the blocks, or all")
    layers = list(range(blocks)) if wanted == "all" else sorted(set(wanted))
    if layers[-1] >= blocks:
        raise UserError(f"evidence.layer_sweep: there is no block {layers[-1]}; the models have 0 to {blocks - 1}")
    return layers


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The evidence part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json of the two models.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet; its validation conversations are patched.")],
    out: Annotated[Path, typer.Option(help="Folder for kl.parquet and run.json.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
) -> None:
    """KL of base's stream in chat's upper blocks, and of chat's in base's, joined after each block."""
    chosen = settings(Evidence, settings_)
    models = Pair.read(pair)
    layers = chosen_layers(chosen.layer_sweep, models.layers)
    prepare(threads, device)
    with record("evidence/layers", out / "run.json", chosen.model_dump(mode="json"), [pair, rows]) as run:
        held_out = conversations(read_table(rows, ROWS), chosen.conversations, chosen.answer_tokens)
        site = Site(models.model("base", device), models.model("chat", device), layers[0], None)
        found: list[dict[str, object]] = []
        with progress(len(held_out), "layer sweep", "conversation") as bar:
            for conversation in held_out:
                found += swept(site, conversation, layers)
                bar.update()
        with whole(out / "kl.parquet") as temporary:
            pl.DataFrame(found, schema={"layer": pl.UInt32, **KL_SCHEMA}).write_parquet(temporary)
        run.result(conversations=len(held_out), layers=layers)


if __name__ == "__main__":
    stage(main)
