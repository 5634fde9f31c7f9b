"""What people do by hand.

crossdiff check configs/my-pair.yaml      is this config right, and are its files there?
crossdiff status                          which results are there, and are they current?
crossdiff show results/…/run.json         one step: numbers, inputs, code, run
crossdiff latents results/…/NAME-seed0.parquet --by nu_reconstruction
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from crossdiff.config import Config, merged, parse
from crossdiff.errors import UserError
from crossdiff.provenance.files import sha256_file
from crossdiff.workflow import check_files, results

if TYPE_CHECKING:
    from crossdiff.costs.sizes import Machine

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)
DEFAULT = Path("config.yaml")
SHOWN = ("latent", "class", "delta_norm", "nu_reconstruction", "nu_error", "frequency", "max", "template_share")
Overlay = Annotated[Path | None, typer.Argument(help="Config laid over config.yaml.")]


@app.command()
def check(
    overlay: Overlay = None,
    estimate: Annotated[bool, typer.Option(help="Say what the study will take on this machine.")] = True,
) -> None:
    """Check config.yaml, or an overlay on it: keys, values, local files; then estimate time, memory and disk."""
    study = read(overlay)
    check_files(study)
    typer.echo(
        f"{study.pair.name}: {len(study.trained)} dictionaries × {len(study.seeds)} seeds,"
        f"{f' {len(study.imported)} imported,' if study.imported else ''}"
        f" {study.corpus.train_tokens:,} training tokens at layer {study.activations.layer}"
    )
    if estimate:
        tell_costs(study)


def tell_costs(study: Config) -> None:
    """Print the cost model's estimate by stage; the machine's rates are measured for it, in about a second."""
    from crossdiff.costs.estimate import known, lines, work
    from crossdiff.costs.sizes import Machine
    from crossdiff.costs.stages import stages

    sizes = work(study)
    if sizes is None:
        typer.echo(
            "no estimate: nothing tells how large the models are; it needs their config.json, or a size in a name"
        )
        return
    machine = rates(study.compute.device)
    given = machine or Machine(1.0, 1.0, 1.0, gpu=True)
    if study.imported:
        typer.echo("imported dictionaries are not in the estimate: nothing tells how large they are before they come")
    guessed = "" if known(study) else ", the model's sizes guessed from its name"
    where = "this machine" if machine else f"a machine with {study.compute.device}, which this one lacks"
    typer.echo(f"about, on {where}{guessed} (~ depends on texts; memory of all jobs side by side in the last line):")
    for line in lines(stages(sizes, given), machine):
        typer.echo(line)


def rates(device: str) -> "Machine | None":
    """This machine's constants; None if it lacks the device."""
    import torch

    from crossdiff.costs.machine import calibrate

    if device.startswith("cuda") and not torch.cuda.is_available():
        return None
    return calibrate(device)


@app.command()
def status(overlay: Overlay = None) -> None:
    """Tell of each step's record whether it is missing, current, or stale because an input has changed since."""
    study = read(overlay)
    root = Path("results", study.pair.name)
    for name in results(study):
        if name.endswith("run.json"):
            typer.echo(f"{state(root / name):<8} {root / name}")


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A run.json.")]) -> None:
    """Print one step's record: numbers, inputs, code and run."""
    document = load(file)
    for key in ("name", "started", "seconds", "threads", "code", "mlflow"):
        typer.echo(f"{key:<8} {document[key]}")
    for path, digest in document["inputs"].items():
        typer.echo(f"input    {path}  {digest[:12]}  {same(path, digest)}")
    for key, value in document["results"].items():
        typer.echo(f"result   {key} = {value}")


@app.command()
def latents(
    file: Annotated[Path, typer.Argument(help="A results/<pair>/latents/NAME-seedN.parquet.")],
    by: Annotated[str, typer.Option(help="Column to sort by.")] = "max",
    top: Annotated[int, typer.Option(min=1, help="Latents to print.")] = 20,
    ascending: Annotated[bool, typer.Option("--ascending", help="Smallest first.")] = False,
) -> None:
    """Print the top latents of a dictionary that are not dead."""
    import polars as pl

    if not file.is_file():
        raise UserError(f"no such file: {file}")
    table = pl.read_parquet(file)
    if by not in table.columns:
        raise UserError(f"--by {by}: {file} has no such column; it has {', '.join(table.columns)}")
    table = table.filter(~pl.col("dead")).sort(by, descending=not ascending, nulls_last=True).head(top)
    with pl.Config(tbl_rows=top, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        typer.echo(str(table.select([name for name in dict.fromkeys((*SHOWN, by)) if name in table.columns])))


def read(overlay: Path | None) -> Config:
    """config.yaml with ``overlay`` laid over it."""
    data: dict[str, Any] = {}
    for file in (DEFAULT, overlay) if overlay else (DEFAULT,):
        if not file.is_file():
            raise UserError(f"no such config file: {file}")
        try:
            data = merged(data, yaml.safe_load(file.read_text()) or {})
        except yaml.YAMLError as error:
            raise UserError(f"{file} is no YAML: {error}") from None
    return parse(Config, data, str(overlay or DEFAULT))


def load(file: Path) -> dict[str, Any]:
    """A run record."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is no run record: {error}") from None


def state(file: Path) -> str:
    """missing, current or stale."""
    if not file.is_file():
        return "missing"
    return "current" if all(same(*item) == "unchanged" for item in load(file)["inputs"].items()) else "stale"


def same(path: str, digest: str) -> str:
    """Whether a file still has the content it had."""
    if not Path(path).is_file():
        return "gone"
    return "unchanged" if sha256_file(path) == digest else "CHANGED"


def main() -> None:
    """Run a command; a UserError becomes one message and exit status 2."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
