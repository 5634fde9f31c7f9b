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

from crossdiff.activations.store import SITE, Activations, read_manifest
from crossdiff.cli import progress, stage
from crossdiff.dictionaries import Dictionary, load
from crossdiff.errors import UserError
from crossdiff.evidence import shared
from crossdiff.evidence.behaviours import detect, directions, effects
from crossdiff.evidence.components import fitted
from crossdiff.evidence.kl.divergence import Conversation
from crossdiff.evidence.kl.interventions import interventions
from crossdiff.evidence.kl.patching import KL_SCHEMA, kl_summary, kl_table
from crossdiff.evidence.latents import CALLS, called, measured, seed_of
from crossdiff.evidence.prepare import (
    ANSWERS,
    ROWS,
    Cases,
    cases,
    conversations,
    measures,
    questions,
    stop_tokens,
)
from crossdiff.evidence.readings import Prompt
from crossdiff.evidence.sets import Candidates
from crossdiff.evidence.settings import Evidence
from crossdiff.evidence.shared import Shared
from crossdiff.evidence.streams import Site
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import record
from crossdiff.tables import read_table

NO_CASES: Cases = {"select": [], "score": []}
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
        held_out = conversations(read_table(rows, ROWS), chosen.conversations, chosen.answer_tokens)
        models = Pair.read(pair)
        tokenizer = models.tokenizer()
        asked, prompts = NO_CASES, list[Prompt]()
        if answers:
            asked_of = read_table(answers, ANSWERS)
            asked = cases(asked_of, tokenizer, chosen.behaviour_prompts)
            prompts = questions(asked_of, tokenizer, chosen.behaviour_prompts)
        manifest = read_manifest(activations, SITE)
        both = models.model("base", device), models.model("chat", device)
        site = Site(*both, manifest["layer"], manifest["thresholds"], manifest.get("skip_first", 0))
        common = shared.read(shared_, device) if shared_ else common_to_all(site, held_out, asked, prompts, out)
        if not shared.fits(common, held_out, asked["score"], prompts):
            raise UserError(
                f"--shared {shared_}: it was read on other conversations or answers than those of --rows and --answers;"
                " run the step without a dictionary again"
            )
        model, edits, components = None, [], None
        if dictionary and latents:
            model = load(dictionary).to(device)
            marks = measures(measured(latents, model))
            few = Candidates(chosen.candidates, chosen.candidate_latents, chosen.candidate_nu)
            edits = interventions(model.kind, marks, chosen.interventions, few, chosen.random_sets, chosen.seed)
            run.result(sets={edit.name: int(edit.latents_F.sum()) for edit in edits})
        elif chosen.components:
            components = fitted(Activations.open(activations).view("train"), chosen.components, device)
            run.result(components=len(components.basis_CD))
        silent = model is not None and model.kind == "base-sae"
        kl = (
            pl.DataFrame(schema=KL_SCHEMA)
            if silent
            else kl_table(site, held_out, common.conversations, model, edits, components)
        )
        with whole(out / "kl.parquet") as temporary:
            kl.write_parquet(temporary)
        run.result(
            conversations=len(held_out),
            sources=pl.Series([c.source for c in held_out]).value_counts().sort("count").rows(),
            kl=kl_summary(kl, chosen.resamples, chosen.seed),
        )
        if answers:
            own = called(read_table(calls, CALLS), seed_of(latents)) if calls and latents else None
            tables, told = {name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()}, dict[str, Any]()
            if not silent:
                tables, told = on_behaviours(site, tokenizer, asked, prompts, held_out, common, model, own, chosen)
            for name, table in tables.items():
                with whole(out / f"{name}.parquet") as temporary:
                    table.write_parquet(temporary)
            run.result(called=None if own is None else len(own), **told)


def on_behaviours(
    site: Site,
    tokenizer: Any,
    asked: Cases,
    prompts: Sequence[Prompt],
    held_out: Sequence[Conversation],
    common: Shared,
    model: Dictionary | None,
    own: Sequence[int] | None,
    chosen: Evidence,
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
        site, tokenizer, experiments, asked["score"], held_out, common, chosen, stop_tokens(tokenizer)
    )
    detection, read = detect.table(prompts, candidates, chosen.behaviour_latents)
    tables = {"behaviours": changes, "collateral": elsewhere, "detection": detection}
    return tables, {"behaviours": effects.behaviour_summary(changes), "chosen": told, "read": read}


def common_to_all(
    site: Site, held_out: Sequence[Conversation], asked: Cases, prompts: Sequence[Prompt], out: Path
) -> Shared:
    """Compute what all dictionaries share, and leave it in ``out``."""
    total = len(held_out) + sum(map(len, asked.values())) + len(prompts)
    with progress(total, "streams", "sequence") as bar:
        common = shared.gather(site, held_out, asked["select"], asked["score"], prompts, bar.update)
    with whole(out / "shared.safetensors") as temporary:
        shared.write(common, temporary)
    return common


if __name__ == "__main__":
    stage(main)
