"""What people do by hand.

crossdiff check configs/my-pair.yaml      is this config right, and are its files there?
crossdiff check-pair configs/my-pair.yaml can this pair be studied here? models, template, corpus, disk, memory, time
crossdiff status                          which results are there, and are they current?
crossdiff show results/…/run.json         one step: numbers, inputs, code, run
crossdiff latents results/…/NAME-seed0.parquet --by frequency
crossdiff export --help                   dictionaries and latents for other tools
crossdiff audit results/…                 does every number still rest on what it says it rests on?
crossdiff explain results/…/FILE#KEY      where a number, cell or figure came from, back to models and corpus
crossdiff diff A B                        what changed between two studies, or two commits
crossdiff compare results/A results/B …   two or more studies side by side, on one page
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from crossdiff import export
from crossdiff.config import Config, read_overlay
from crossdiff.errors import UserError, first_line
from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.files import AFTER, check_name, whole
from crossdiff.provenance.record import read as read_record
from crossdiff.provenance.state import same, state
from crossdiff.workflow import check_files, results

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)
app.add_typer(export.app, name="export")
SHOWN = ("latent", "class", "delta_norm", "nu_reconstruction", "nu_error", "frequency", "max", "template_share")
LATENT_TABLE = "give a results/<pair>/latents/NAME-seedN.parquet"
Overlay = Annotated[Path | None, typer.Argument(help="Config laid over config.yaml.")]


@app.command()
def check(
    overlay: Overlay = None,
    estimate: Annotated[bool, typer.Option(help="Say what the study will take on this machine.")] = True,
) -> None:
    """Check config.yaml, or an overlay on it: keys, values, local files; then estimate time, memory and disk."""
    study = read_overlay(overlay)
    checked_contents(study)
    typer.echo(
        f"{study.pair.name}: {len(study.trained)} dictionaries × {len(study.seeds)} seeds,"
        f"{f' {len(study.imported)} imported,' if study.imported else ''}"
        f" {study.corpus.train_tokens:,} training tokens at layer {study.activations.layer}"
    )
    if estimate:
        from crossdiff.costs.findings import crowded, findings, table
        from crossdiff.costs.machine import here

        machine = here(study.compute.device)
        for line in [*table(study, machine), *crowded(study)]:
            typer.echo(line)
        for finding in findings(study, None, machine, download=0):
            if finding.verdict == "failed":
                raise UserError(finding.text)


@app.command("check-pair")
def check_pair(overlay: Overlay = None) -> None:
    """Say before any work whether a pair can be studied here: models, tokenizer, template, site, corpus, machine.

    Nothing but small files is downloaded, and of each corpus the first row alone is read. Every finding is shown; the
    exit status is 1 if one of them is a failure.
    """
    from crossdiff.costs.findings import findings, table
    from crossdiff.costs.machine import here
    from crossdiff.finding import attempt, lines
    from crossdiff.survey import survey

    study = read_overlay(overlay)
    found = survey(study)
    machine = here(study.compute.device)
    as_check = attempt("as crossdiff check", lambda: checked_contents(study))
    all_ = [as_check, *found.findings, *findings(study, found.shape, machine, found.download)]
    typer.echo(f"{study.pair.name}:")
    for line in [*lines(all_), *table(study, machine, found.shape)]:
        typer.echo(line)
    failed = sum(finding.verdict == "failed" for finding in all_)
    typer.echo(f"{failed} of {len(all_)} checks failed" if failed else "nothing speaks against it")
    if failed:
        raise typer.Exit(1)


@app.command()
def status(overlay: Overlay = None) -> None:
    """Tell of each step's record whether it is missing, damaged, current, or stale as an input has changed since."""
    study = read_overlay(overlay)
    root, hashes = Path("results", study.pair.name), Hashes()
    for name in results(study):
        if name.endswith("run.json"):
            typer.echo(f"{state(root / name, hashes):<8} {root / name}")


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A run.json.")]) -> None:
    """Print one step's record: numbers, inputs, code and run."""
    document = read_record(file)
    for key in ("name", "started", "seconds", "threads", "code", "mlflow"):
        typer.echo(f"{key:<8} {document.get(key)}")
    hashes = Hashes()
    for path, digest in document["inputs"].items():
        typer.echo(f"input    {path}  {digest[:12]}  {same(path, digest, hashes)}")
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

    if file.is_dir():
        raise UserError(f"{file} is a folder; {LATENT_TABLE}")
    if not file.is_file():
        raise UserError(f"no such file: {file}{AFTER}")
    try:
        table = pl.read_parquet(file, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{file} is no parquet file, or damaged: {first_line(error)}; {LATENT_TABLE}") from None
    if not {"latent", "dead"} <= set(table.columns):
        raise UserError(f"{file} is no table of latents; {LATENT_TABLE}")
    if by not in table.columns:
        raise UserError(f"--by {by}: {file} has no such column; it has {', '.join(table.columns)}")
    table = table.filter(~pl.col("dead")).sort(by, descending=not ascending, nulls_last=True).head(top)
    # An SAE has no ν of reconstruction and error, so that of the activation stands in their place.
    shown = [*SHOWN, by] if "nu_error" in table.columns else [*SHOWN[:3], "nu_activation", *SHOWN[5:], by]
    with pl.Config(tbl_rows=top, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        typer.echo(str(table.select([name for name in dict.fromkeys(shown) if name in table.columns])))


@app.command()
def audit(
    folder: Annotated[Path | None, typer.Argument(help="results/<pair>; the pair of config.yaml if left out.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Trust size and time of big shards.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Go on after the first kind of break.")] = False,
) -> None:
    """Hash the results again and check report, numbers, tables, records, code, DVC and MLflow against one another."""
    from crossdiff.cli import progress
    from crossdiff.provenance.audit.run import audit as run
    from crossdiff.provenance.audit.run import lines
    from crossdiff.provenance.audit.study import Study

    root = folder or Path("results", read_overlay(None).pair.name)
    if root.is_file():
        raise UserError(f"{root} is a file: give the folder of a finished study, results/<pair>")
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    with progress(size, "hash", "B") as bar:
        study = Study(root, Hashes(bar.update), fast)
        broken = False
        for told in run(study, everything):
            bar.clear()
            for line in lines(study, told):
                typer.echo(line)
            broken |= bool(told.finding.breaks)
    if broken:
        sys.exit(1)


@app.command()
def explain(
    address: Annotated[str, typer.Argument(help="FILE#KEY as the report names it: a number, table cell or figure.")],
) -> None:
    """Print where a number came from: files, steps, settings, inputs, commit, and the command that makes it again.

    results/<pair>/metrics.json#/pair/layers, or any other pointer into a JSON file of the study;
    latents/NAME-seed0.parquet#latent=3&column=frequency, a cell of a table; report/figures/NAME.svg, a figure.
    """
    from crossdiff.provenance.audit.study import Study
    from crossdiff.provenance.chain import chain, target
    from crossdiff.provenance.explain import lines

    root, file, key = target(address)
    study = Study(root, Hashes())
    for line in lines(study, chain(study, file, key)):
        typer.echo(line)


@app.command()
def diff(
    one: Annotated[str, typer.Argument(help="results/<pair> of a study, or a commit.")],
    other: Annotated[str, typer.Argument(help="Another one.")],
) -> None:
    """Print which inputs, settings, source files and numbers differ between two studies or commits."""
    from crossdiff.provenance.compare import lines, side

    for line in lines(side(one, Path()), side(other, Path()), Path()):
        typer.echo(line)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="results/<pair> of each study.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
) -> None:
    """Set two or more studies side by side: numbers with intervals, and the settings that differ."""
    from crossdiff.provenance.compare import side
    from crossdiff.report.comparison import comparison

    check_name(out)
    page = comparison([side(str(folder), Path()) for folder in folders])
    with whole(out) as temporary:
        temporary.write_text(page)
    typer.echo(f"wrote {out}")


def checked_contents(study: Config) -> str:
    """Words for a study whose local files are there and hold what the config says of them; UserError if not."""
    from crossdiff.contents import check_contents
    from crossdiff.folders import check_folders

    check_files(study)
    check_folders(study)
    check_contents(study)
    return "local files are there and hold what the config asks for"


def main() -> None:
    """Run a command; a UserError becomes one message and exit status 2."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
