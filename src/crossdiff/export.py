"""Giving away what was made: dictionaries in other packages' files, latents in Neuronpedia's layout or as CSV."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossdiff.errors import UserError
from crossdiff.provenance.files import AFTER, AGAIN, read_object, whole

if TYPE_CHECKING:
    import polars as pl

app = typer.Typer(no_args_is_help=True, help=__doc__)
Table = Annotated[Path, typer.Argument(help="A results/<pair>/latents/NAME-seedN.parquet.")]
Target = Annotated[Path, typer.Option(help="Folder to write to.")]


@app.command()
def dictionary(
    folder: Annotated[Path, typer.Argument(help="A results/<pair>/dictionaries/NAME-seedN.")],
    to: Annotated[
        str, typer.Option(help="science-of-finetuning, ckkissane, dictionary_learning, saelens or sparsify.")
    ],
    out: Target,
) -> None:
    """Write a dictionary in the files of another package; what the package cannot hold is told."""
    from crossdiff.dictionaries import load
    from crossdiff.dictionaries.published.registry import weights, write

    write(load(folder), out, to)
    typer.echo(f"{weights(out, to)[1]} and its settings")


@app.command()
def csv(file: Table, out: Annotated[Path, typer.Option(help="CSV file to write.")]) -> None:
    """Write the latent table as CSV; docs/dictionaries.md says what each column is. What is not defined is empty."""
    if out.is_dir():
        raise UserError(f"--out {out}: this is a folder; give the name of a file, such as {out / file.stem}.csv")
    latents = _flat(_table(file, "dead"))
    latents = latents.join(_descriptions(file), on="latent", how="left", maintain_order="left")
    with whole(out) as temporary:
        latents.write_csv(temporary)
    typer.echo(f"{out}: {latents.height:,} latents, {latents.width} columns")


@app.command()
def neuronpedia(
    file: Table,
    out: Target,
    model: Annotated[str, typer.Option(help="Id of the model on Neuronpedia, such as gemma-2-2b-it.")],
    source_set: Annotated[str, typer.Option(help="Name of the set there, such as chat-diff-18k; no layer in it.")],
    creator: Annotated[str, typer.Option(help="Who made it.")],
    title: Annotated[str, typer.Option(help="What readers see; the dictionary's name by default.")] = "",
) -> None:
    """Write latents, their directions and their examples in the layout of Neuronpedia's exports."""
    for option, name in (("--model", model), ("--source-set", source_set)):
        if not name.strip() or "/" in name or name.startswith("."):
            raise UserError(
                f"{option} {name!r}: it names a folder under --out; give an id without / as Neuronpedia has"
            )
    from crossdiff.attribution import neuronpedia as layout
    from crossdiff.attribution.directions import contribution
    from crossdiff.dictionaries import load

    file = file.absolute()
    latents = _table(file)
    examples = _table(file.parents[1] / "examples" / file.name, "rank", "tokens", "activations")
    own = load(file.parents[1] / "dictionaries" / file.stem)
    if own.shape[2] != latents.height:
        raise UserError(f"{file} has {latents.height} latents, but its dictionary {own.shape[2]}; measure it again")
    layer = own.about.get("layer")
    if layer is None:
        raise UserError(f"the dictionary of {file} does not say which layer it was trained on")
    record = file.with_name(f"{file.stem}.run.json")
    started = read_object(record, AFTER, AGAIN).get("started")
    if started is None:
        raise UserError(f"{record} does not tell when the latents were measured; {AGAIN}")
    place = layout.Place(model, source_set, layer, creator, started)
    title = title or f"{own.about.get('name', file.stem)}, what chat has beyond base"
    latents = latents.sort("latent")
    described, beside = _descriptions(file).to_dicts(), file.with_name(f"{file.stem}.tokens.parquet")
    promoted = _table(beside).sort("latent", "side", "rank").to_dicts() if beside.is_file() else []
    vectors = contribution(own).tolist()
    layout.write(out, place, title, latents.to_dicts(), vectors, examples.to_dicts(), described, promoted)
    typer.echo(f"{out / 'v1' / model / place.source}: {latents.height:,} latents, {examples.height:,} examples")


def _descriptions(file: Path) -> "pl.DataFrame":
    """The phrases beside a latent table; none where an earlier version wrote it."""
    import polars as pl

    beside = file.with_name(f"{file.stem}.descriptions.parquet")
    if not beside.is_file():
        return pl.DataFrame(schema={"latent": pl.UInt32, "description": pl.String})
    return _table(beside, "description").select("latent", "description")


def _flat(latents: "pl.DataFrame") -> "pl.DataFrame":
    """The table with the numbers of an array as one text, for CSV has no arrays."""
    import polars as pl

    nested = [name for name, kind in latents.schema.items() if isinstance(kind, pl.Array | pl.List)]
    return latents.with_columns(pl.col(nested).cast(pl.List(pl.String)).list.join(" "))


def _table(file: Path, *columns: str) -> "pl.DataFrame":
    from crossdiff.tables import read_table

    return read_table(file, ("latent", *columns))
