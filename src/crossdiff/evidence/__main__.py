"""Ask the models themselves: KL patching, and the causal effect of latents on planted behaviours.

python -m crossdiff.evidence --settings EVIDENCE --pair P/pair/pair.json --rows P/corpus/rows.parquet \\
    [--answers P/truth/answers.parquet] --activations P/activations/manifest.json \\
    [--dictionary DIR --latents P/latents/NAME-seedN.parquet --calls P/calls/NAME.parquet \\
    --shared P/evidence/baselines/shared.safetensors] \\
    --out P/evidence/NAME-seedN

Without a dictionary: the interventions and subjects that need none, into P/evidence/baselines, and beside them what all
dictionaries share.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from crossdiff.activations.fits import check_dictionary, check_source
from crossdiff.activations.store import SITE, Activations, read_manifest
from crossdiff.cli import progress, stage
from crossdiff.dictionaries import Dictionary, load
from crossdiff.errors import UserError
from crossdiff.evidence import shared
from crossdiff.evidence.behaviours import detect, directions, effects
from crossdiff.evidence.components import Components, fitted
from crossdiff.evidence.kl.interventions import Intervention, interventions
from crossdiff.evidence.kl.patching import KL_SCHEMA, kl_summary, kl_table
from crossdiff.evidence.latents import CALLS, called, measured, seed_of
from crossdiff.evidence.prepare import Asked, measures, stop_tokens
from crossdiff.evidence.sets import Candidates
from crossdiff.evidence.settings import Evidence
from crossdiff.evidence.shared import Shared
from crossdiff.evidence.streams import Site
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import Run, record
from crossdiff.tables import read_table

SCHEMAS = {
    "behaviours": effects.BEHAVIOUR_SCHEMA,
    "collateral": effects.COLLATERAL_SCHEMA,
    "detection": detect.DETECTION_SCHEMA,
}


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The evidence part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json of the two models.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet; its validation conversations are patched.")],
    activations: Annotated[Path, typer.Option(help="manifest.json: the layer, and which norms are masked.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and run.json.")],
    answers: Annotated[Path | None, typer.Option(help="answers.parquet of a planted pair.")] = None,
    dictionary: Annotated[Path | None, typer.Option(help="Folder of a trained dictionary.")] = None,
    latents: Annotated[Path | None, typer.Option(help="The dictionary's latent table, NAME-seedN.parquet.")] = None,
    calls: Annotated[Path | None, typer.Option(help="Calls of the dictionary's latents, of all seeds.")] = None,
    shared_: Annotated[
        Path | None, typer.Option("--shared", help="What the step without a dictionary left for all dictionaries.")
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
) -> None:
    """Measure what a dictionary's latents do in the models; without one, the baselines."""
    chosen = settings(Evidence, settings_)
    if len({dictionary is None, latents is None, shared_ is None}) > 1:
        raise UserError("give --dictionary, --latents and --shared together, or none of them for the baselines")
    prepare(threads, device)
    inputs = [pair, rows, activations, *([answers] if answers else [])]
    if dictionary and latents and shared_:
        inputs += [dictionary / "dictionary.safetensors", dictionary / "dictionary.json", latents, shared_]
        inputs += [calls] if calls else []
    params = chosen.model_dump(mode="json")
    with record(f"evidence/{out.name}", out / "run.json", params, inputs) as run:
        models = Pair.read(pair)
        asked = Asked.of(rows, answers, models.tokenizer(), chosen)
        manifest = read_manifest(activations, SITE)
        check_source(activations, manifest, pair=pair)
        model = load(dictionary).to(device) if dictionary else None
        if dictionary and model:
            check_dictionary(activations, manifest, dictionary, model)
        site = Site.of(models, manifest, device)
        common = shared.read(shared_, device) if shared_ else common_to_all(site, asked, out)
        if not shared.fits(common, models.width, asked.held_out, asked.cases["score"], asked.prompts):
            raise UserError(
                f"--shared {shared_}: it was read on other conversations or answers than those of --rows and --answers;"
                " run the step without a dictionary again"
            )
        silent = model is not None and model.kind == "base-sae"
        edits, components = patched(run, model, latents, activations, chosen, device)
        kl = pl.DataFrame(schema=KL_SCHEMA)
        if not silent:
            kl = kl_table(site, asked.held_out, common.conversations, model, edits, components)
        write(out, {"kl": kl})
        run.result(
            conversations=len(asked.held_out),
            sources=pl.Series([c.source for c in asked.held_out]).value_counts().sort("count").rows(),
            kl=kl_summary(kl, chosen.resamples, chosen.seed),
        )
        if answers:
            own = called(read_table(calls, CALLS), seed_of(latents)) if calls and latents else None
            tables, told = {name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()}, dict[str, Any]()
            if not silent and common.seen:
                tables, told = on_behaviours(site, asked, common, model, own, chosen)
            write(out, tables)
            run.result(called=None if own is None else len(own), **told)


def patched(
    run: Run, model: Dictionary | None, latents: Path | None, activations: Path, chosen: Evidence, device: str
) -> tuple[list[Intervention], Components | None]:
    """What is patched, besides what always is: a dictionary's sets of latents, or without one the components."""
    if model and latents:
        marks = measures(measured(latents, model))
        few = Candidates(chosen.candidates, chosen.candidate_latents, chosen.candidate_nu)
        edits = interventions(model.kind, marks, chosen.interventions, few, chosen.random_sets, chosen.seed)
        run.result(sets={edit.name: int(edit.latents_F.sum()) for edit in edits})
        return edits, None
    if not chosen.components:
        return [], None
    components = fitted(Activations.open(activations).view("train"), chosen.components, device)
    run.result(components=len(components.basis_CD))
    return [], components


def on_behaviours(
    site: Site, asked: Asked, common: Shared, model: Dictionary | None, own: Sequence[int] | None, chosen: Evidence
) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    """The tables of the planted behaviours by name, and what was chosen; ``own`` are the latents called."""
    candidates: Mapping[str, Mapping[str, detect.Candidates]]
    if model:
        experiments, told = effects.of_dictionary(site, model, common.seen, own, chosen)
        candidates = dict.fromkeys(common.seen, detect.of_dictionary(site, model, common.prompts, own))
    else:
        basis_CD = directions.components(site, common.seen)
        experiments, told = effects.without_dictionary(site, common.seen, basis_CD, chosen)
        candidates = detect.without_dictionary(site, common.prompts, basis_CD, common.seen)
    changes, elsewhere = effects.run(
        site, asked.tokenizer, experiments, asked.cases["score"], asked.held_out, common, chosen,
        stop_tokens(asked.tokenizer),
    )  # fmt: skip
    detection, read = detect.table(asked.prompts, candidates, chosen.behaviour_latents)
    tables = {"behaviours": changes, "collateral": elsewhere, "detection": detection}
    return tables, {"behaviours": effects.behaviour_summary(changes), "chosen": told, "read": read}


def common_to_all(site: Site, asked: Asked, out: Path) -> Shared:
    """Compute what all dictionaries share, and leave it in ``out``."""
    select, score = asked.cases["select"], asked.cases["score"]
    with progress(len([*asked.held_out, *select, *score, *asked.prompts]), "streams", "sequence") as bar:
        common = shared.gather(site, asked.held_out, select, score, asked.prompts, bar.update)
    with whole(out / "shared.safetensors") as temporary:
        shared.write(common, temporary)
    return common


def write(out: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write each table as NAME.parquet."""
    for name, table in tables.items():
        with whole(out / f"{name}.parquet") as temporary:
            table.write_parquet(temporary)


if __name__ == "__main__":
    stage(main)
