"""Ask the models themselves: KL patching, and the causal effect of latents on planted behaviours.

python -m crossdiff.evidence --settings EVIDENCE --pair P/pair/pair.json --rows P/corpus/rows.parquet \\
    [--answers P/truth/answers.parquet] --activations P/activations/manifest.json \\
    [--dictionary DIR --latents P/latents/NAME-seedN.parquet --shared P/evidence/baselines/shared.safetensors] \\
    --out P/evidence/NAME-seedN

Without a dictionary: the interventions and subjects that need none, into P/evidence/baselines, and beside them what all
dictionaries share.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import torch
import typer

from crossdiff.activations.store import read_manifest
from crossdiff.cli import progress, stage
from crossdiff.config import settings
from crossdiff.dictionaries import Dictionary, load
from crossdiff.errors import UserError
from crossdiff.evidence import shared
from crossdiff.evidence.causal import Effect, behaviour_effects
from crossdiff.evidence.edits import Directions, Latents, Steering
from crossdiff.evidence.intervals import recovered_share, token_mean
from crossdiff.evidence.interventions import Intervention, edited_streams, interventions
from crossdiff.evidence.kl import Conversation, baseline_streams, kl_rows, patched_kl, predictions, unpatched_kl
from crossdiff.evidence.prepare import Cases, cases, conversations, measures, stop_tokens
from crossdiff.evidence.selection import Case, Material, attribute, best, matched
from crossdiff.evidence.shared import Shared
from crossdiff.evidence.streams import Site
from crossdiff.pair.load import Pair
from crossdiff.parts import Evidence
from crossdiff.process import prepare
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import record
from crossdiff.truth.behaviours import load as load_behaviours

NO_CASES: Cases = {"select": [], "score": []}
KL_SCHEMA = {
    "intervention": pl.String, "positions": pl.String, "conversation": pl.UInt32, "source": pl.String,
    "tokens": pl.UInt32, "kl": pl.Float64,
}  # fmt: skip
BEHAVIOUR_SCHEMA = {
    "behaviour": pl.String, "subject": pl.String, "edit": pl.String, "prompt": pl.UInt32, "present": pl.Boolean,
    "logprob": pl.Float32, "tokens": pl.UInt32, "answer": pl.String,
}  # fmt: skip


@torch.no_grad()
def kl_table(
    site: Site,
    held_out: Sequence[Conversation],
    streams: Sequence[torch.Tensor],
    dictionary: Dictionary | None,
    chosen: list[Intervention],
) -> pl.DataFrame:
    """kl.parquet: of the chosen interventions, or of the baselines if there is no dictionary."""
    rows: list[dict[str, object]] = []
    with progress(len(held_out), "KL patching", "conversation") as bar:
        for conversation, x_TLD in zip(held_out, streams, strict=True):
            roles_T = torch.tensor(conversation.roles, device=site.device)
            positions_P = predictions(roles_T).nonzero().flatten()
            if dictionary:
                names = [intervention.name for intervention in chosen]
                streams_STD = edited_streams(dictionary, chosen, x_TLD, site.known(x_TLD))
            else:
                found = baseline_streams(site, x_TLD, roles_T)
                names, streams_STD = list(found), torch.stack(list(found.values()))
            kl_SP = patched_kl(site, x_TLD[:, 1], streams_STD, positions_P)
            if not dictionary:
                names, kl_SP = [*names, "base"], torch.cat([kl_SP, unpatched_kl(site, x_TLD, positions_P)[None]])
            rows += kl_rows(conversation, names, kl_SP, positions_P)
            bar.update()
    return pl.DataFrame(rows, schema=KL_SCHEMA)


def kl_summary(table: pl.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Mean KL a token of each intervention, and the share it recovers where "none" is in the table."""
    out: dict[str, Any] = {}
    for (group, name), part in table.group_by(["positions", "intervention"], maintain_order=True):
        part = part.filter(pl.col("tokens") > 0)
        none = table.filter(
            (pl.col("intervention") == "none") & (pl.col("positions") == group)
            & pl.col("conversation").is_in(part["conversation"].implode())
        )  # fmt: skip
        numbers: dict[str, Any] = {"kl": token_mean(part["kl"], part["tokens"], resamples, seed)}
        if len(none):
            numbers["recovered"] = recovered_share(none["kl"], part["kl"], resamples, seed)
        out.setdefault(str(group), {})[str(name)] = numbers
    return out


def choose_latents(
    site: Site, dictionary: Dictionary, seen: dict[str, Material], chosen: Evidence
) -> tuple[dict[tuple[str, str], list[int]], dict[str, Any]]:
    """Best latents and matched random ones of each behaviour, and how they were chosen, for the record."""
    sets: dict[tuple[str, str], list[int]] = {}
    told: dict[str, Any] = {}
    for number, (name, what) in enumerate(sorted(seen.items())):
        score_F, mass_F = attribute(site, dictionary, what)
        top = best(score_F, chosen.behaviour_latents)
        sets[name, "best"] = top
        generator = torch.Generator().manual_seed(chosen.seed * 1000 + number)
        for random in range(chosen.random_sets):
            sets[name, f"random-{random}"] = matched(mass_F, top, set(top), generator)
        told[name] = {
            subject: {
                "latents": latents, "score": score_F[latents].tolist(), "mass": mass_F[latents].tolist()
            }
            for (behaviour, subject), latents in sets.items() if behaviour == name
        }  # fmt: skip
    return sets, told


def behaviour_table(effects: Sequence[Effect], tokenizer: Any) -> pl.DataFrame:
    """behaviours.parquet: one row per behaviour, subject, edit and prompt; ``present`` is null where not generated."""
    rules = {behaviour.name: behaviour for behaviour in load_behaviours({e.case.behaviour for e in effects})}
    rows = []
    for effect in effects:
        text = None if effect.answer is None else tokenizer.decode(effect.answer, skip_special_tokens=True).strip()
        rows.append(
            {
                "behaviour": effect.case.behaviour,
                "subject": effect.subject,
                "edit": effect.edit,
                "prompt": effect.case.prompt,
                "present": None if text is None else bool(rules[effect.case.behaviour].spans(text)),
                "logprob": effect.logprob,
                "tokens": len(effect.case.targets),
                "answer": text,
            }
        )
    return pl.DataFrame(rows, schema=BEHAVIOUR_SCHEMA)


def behaviour_summary(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rate and mean log-probability of each behaviour, subject and edit."""
    keys = ["behaviour", "subject", "edit"]
    return (
        table.group_by(keys, maintain_order=True)
        .agg(pl.col("present").mean().alias("rate"), pl.col("logprob").mean(), pl.len().alias("prompts"))
        .to_dicts()
    )


def behaviours(
    site: Site, tokenizer: Any, score: Sequence[Case], common: Shared, dictionary: Dictionary | None, chosen: Evidence
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The causal experiment on planted behaviours: its table, and how latents were chosen."""
    score = shared.scored(common.seen, score)
    told: dict[str, Any] = {}
    steering: Steering
    if dictionary:
        sets, told = choose_latents(site, dictionary, common.seen, chosen)
        steering = Latents(site, dictionary, sets)
        generated = ["best", *(f"random-{n}" for n in range(min(chosen.generated_sets, chosen.random_sets)))]
    else:
        vectors = {}
        for name, what in common.seen.items():
            vectors[name, "none"] = torch.zeros_like(what.difference_D)
            vectors[name, "mean-difference"] = what.difference_D
        steering, generated = Directions(vectors), ["none", "mean-difference"]
    stops = stop_tokens(tokenizer)
    with progress(2 * len(score) * len(steering.subjects), "behaviours", "answer") as bar:
        effects = behaviour_effects(
            site, steering, score, common.tuned, common.bases, generated, chosen.new_tokens, stops, bar.update
        )
    return behaviour_table(effects, tokenizer), told


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The evidence part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json of the two models.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet; its validation conversations are patched.")],
    activations: Annotated[Path, typer.Option(help="manifest.json: the layer, and which norms are masked.")],
    out: Annotated[Path, typer.Option(help="Folder for kl.parquet, behaviours.parquet and run.json.")],
    answers: Annotated[Path | None, typer.Option(help="answers.parquet of a planted pair.")] = None,
    dictionary: Annotated[Path | None, typer.Option(help="Folder of a trained dictionary.")] = None,
    latents: Annotated[Path | None, typer.Option(help="The dictionary's latent table.")] = None,
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
    prepare(threads)
    inputs = [pair, rows, activations, *([answers] if answers else [])]
    if dictionary and latents and shared_:
        inputs += [dictionary / "dictionary.safetensors", dictionary / "dictionary.json", latents, shared_]
    params = chosen.model_dump(mode="json")
    with record(f"evidence/{out.name}", out / "run.json", params, inputs) as run:
        held_out = conversations(pl.read_parquet(rows), chosen.conversations, chosen.answer_tokens)
        models = Pair.read(pair)
        tokenizer = models.tokenizer()
        asked = cases(pl.read_parquet(answers), tokenizer, chosen.behaviour_prompts) if answers else NO_CASES
        manifest = read_manifest(activations)
        both = models.model("base", device), models.model("chat", device)
        site = Site(*both, manifest["layer"], manifest["thresholds"], manifest.get("skip_first", 0))
        common = shared.read(shared_, device) if shared_ else common_to_all(site, held_out, asked, out)
        model, edits = None, []
        if dictionary and latents:
            model = load(dictionary).to(device)
            marks = measures(pl.read_parquet(latents))
            edits = interventions(model.kind, marks, chosen.candidates, chosen.random_sets, chosen.seed)
            run.result(sets={edit.name: int(edit.latents_F.sum()) for edit in edits})
        silent = model is not None and model.kind == "base-sae"
        kl = pl.DataFrame(schema=KL_SCHEMA) if silent else kl_table(site, held_out, common.conversations, model, edits)
        with whole(out / "kl.parquet") as temporary:
            kl.write_parquet(temporary)
        run.result(
            conversations=len(held_out),
            sources=pl.Series([c.source for c in held_out]).value_counts().sort("count").rows(),
            kl=kl_summary(kl, chosen.resamples, chosen.seed),
        )
        if answers:
            table, told = pl.DataFrame(schema=BEHAVIOUR_SCHEMA), dict[str, Any]()
            if not silent:
                table, told = behaviours(site, tokenizer, asked["score"], common, model, chosen)
            with whole(out / "behaviours.parquet") as temporary:
                table.write_parquet(temporary)
            run.result(behaviours=behaviour_summary(table), chosen=told)


def common_to_all(site: Site, held_out: Sequence[Conversation], asked: Cases, out: Path) -> Shared:
    """Compute what all dictionaries share, and leave it in ``out``."""
    total = len(held_out) + sum(map(len, asked.values()))
    with progress(total, "streams", "sequence") as bar:
        common = shared.gather(site, held_out, asked["select"], asked["score"], bar.update)
    with whole(out / "shared.safetensors") as temporary:
        shared.write(common, temporary)
    return common


if __name__ == "__main__":
    stage(main)
