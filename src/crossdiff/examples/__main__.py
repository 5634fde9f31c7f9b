"""Keep texts of one dictionary and seed: of every latent that was called, and of some others.

python -m crossdiff.examples --settings EXAMPLES --split validation --pair P/pair/pair.json --dictionary DIR \\
    --activations P/activations/manifest.json --rows P/corpus/rows.parquet --latents P/latents/NAME-seedN.parquet \\
    --calls P/calls/NAME.parquet --seed N --out P/examples/NAME-seedN.parquet
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from crossdiff.activations.fits import check_dictionary, check_source
from crossdiff.activations.store import Activations, read_manifest
from crossdiff.cli import stage
from crossdiff.dictionaries import load
from crossdiff.evidence.latents import CALLS, check_seed, measured, of_seed
from crossdiff.examples.choose import called, choose, orders
from crossdiff.examples.table import example_table
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.parts.examples import Examples
from crossdiff.process import prepare
from crossdiff.provenance.files import check_name, whole
from crossdiff.provenance.record import record
from crossdiff.tables import read_table


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The examples part of the config: JSON, or a file.")],
    split: Annotated[str, typer.Option(help="Tokens that the latents were measured on: train or validation.")],
    pair: Annotated[Path, typer.Option(help="pair.json; its tokenizer shows the tokens.")],
    dictionary: Annotated[Path, typer.Option(help="Folder of a dictionary.")],
    activations: Annotated[Path, typer.Option(help="manifest.json of the activations.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet that the activations were read from.")],
    latents: Annotated[Path, typer.Option(help="The dictionary's latent table.")],
    calls: Annotated[Path, typer.Option(help="The dictionary's calls, of all seeds.")],
    seed: Annotated[int, typer.Option(help="The seed of the dictionary and of its table.")],
    out: Annotated[Path, typer.Option(help="The table of examples; its record is put beside it.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
) -> None:
    """Find the rows on which latents are most active, and some from every bin of their activity."""
    chosen = settings(Examples, settings_)
    check_name(out, ".parquet")
    prepare(threads, device)
    weights = [dictionary / "dictionary.safetensors", dictionary / "dictionary.json"]
    inputs = [pair, *weights, activations, rows, latents, calls]
    name = out.name.removesuffix(".parquet")
    params = chosen.model_dump(mode="json") | {"split": split}
    with record(f"examples/{name}", out.with_name(f"{name}.run.json"), params, inputs) as run:
        model, manifest = load(dictionary).to(device), read_manifest(activations, ("mean",))
        check_source(activations, manifest, pair=pair, rows=rows)
        check_dictionary(activations, manifest, dictionary, model)
        check_seed(seed, model)
        named = called(of_seed(read_table(calls, CALLS), seed))
        shown = choose(named, orders(measured(latents, model), model.kind), chosen.latents)
        table = example_table(
            model,
            shown,
            read_table(rows, ["row", "source", "behaviour", "ids"], others=False),
            Activations.open(activations).view(split),
            Pair.read(pair).tokenizer(),
            torch.tensor(manifest["mean"][0]),
            chosen,
        )
        with whole(out) as temporary:
            table.write_parquet(temporary, compression="zstd")
        run.result(called=len(named), latents=len(shown), examples=len(table))


if __name__ == "__main__":
    stage(main)
