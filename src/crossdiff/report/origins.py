"""Which files and columns each number of metrics.json is made of: a function for each of `crossdiff.report.metrics`.

A number without a source is refused, so a new one cannot enter metrics.json without telling where it comes from.
"""

from collections.abc import Iterable

from crossdiff.errors import UserError
from crossdiff.provenance.origins import NULL, Origins, Source, pointer
from crossdiff.report.collect import Dictionary, Run, Study
from crossdiff.report.interpretation import record
from crossdiff.report.latents import NU_ACTIVATION, ON_TEMPLATE, rule_columns
from crossdiff.report.metrics import fve_names, step_name
from crossdiff.report.overall import sources
from crossdiff.report.seeds import Tree

Notes = dict[tuple[str, ...], list[Source]]
"""Sources by path; relative to the tree they belong to."""

BASE_KL = Source("evidence/baselines/kl.parquet", "kl, tokens")
BASELINES = "baselines"
TABLES = {"collateral": "kl, tokens", "detection": "shows, score, chat, base, threshold"}
BASE_EFFECTS = Source("evidence/baselines/behaviours.parquet", "logprob, present")
RULE, RULE_ACTIVATION = (", ".join(rule_columns(two_sided)) for two_sided in (True, False))
SHARES = ", ".join(ON_TEMPLATE)


def origins(study: Study, numbers: Tree) -> Origins:
    """Sources of all of ``numbers``, the tree of metrics.json; UserError names a number that has none."""
    notes = below(("pair",), pair(study)) | below(("costs",), costs(study))
    for item in study.dictionaries:
        notes |= below(("dictionaries", item.name), dictionary(study, item))
        called = f"calls/{item.name}.run.json"
        notes["dictionaries", item.name, "calls"] = [Source(called, "results")]
        if explained := record(study, item):
            notes["dictionaries", item.name, "interpretation"] = [Source(explained, "results")]
            folder = item.runs[0].folder
            notes["dictionaries", item.name, "interpretation", "r2"] = [
                Source(f"evidence/interpretation/{folder}.parquet", "total_*"),
                Source(f"latents/{folder}.parquet", "nu_*, delta_norm"),
            ]
        honesty = [Source(called, "results.honesty")]
        notes["calibration",] = [*notes.get(("calibration",), []), *honesty]
        for place, entry in enumerate(numbers["calibration"]):
            if entry["dictionary"] == item.name:
                notes["calibration", str(place)] = honesty
    if study.effects is not None:
        notes |= directions(study, numbers) | {("behaviours",): on_behaviours(study)}
    if study.synthetic is not None:
        for name in numbers["synthetic"]:
            notes["synthetic", name] = [Source(f"truth/synthetic/{name}/scores.parquet", "value")]
    found = Origins({pointer(*path): tuple(dict.fromkeys(sources)) for path, sources in notes.items()})
    if missing := found.without(numbers):
        raise UserError(f"metrics.json#{missing[0]} has no source; name its file in crossdiff.report.origins")
    return found


def below(above: tuple[str, ...], notes: Notes) -> Notes:
    """The same notes in the tree that holds theirs at ``above``."""
    return {above + path: sources for path, sources in notes.items()}


def pair(study: Study) -> Notes:
    """Sources of what is known before any dictionary."""
    manifest = "activations/manifest.json"
    notes: Notes = {
        ("layers",): [Source("pair/pair.json", "layers")],
        ("width",): [Source("pair/pair.json", "width")],
        ("difference_share",): [Source(manifest, "difference_share")],
        ("kl",): [BASE_KL],
    }
    if study.components:
        notes["components",] = [Source("evidence/baselines/run.json", "results.components")]
    if study.null_manifest is not None:
        notes["null_difference_share",] = [Source(f"{NULL}/{manifest}", "difference_share")]
    if study.layers is not None:
        notes["kl_by_layer",] = [Source("evidence/layers/kl.parquet", "kl, tokens")]
    for split in study.manifest["splits"]:
        tokens, kept = (Source(manifest, f"splits.{split}.{name}") for name in ("tokens", "kept"))
        notes |= {("tokens", split): [tokens], ("high_norm_share", split): [kept, tokens]}
    if study.answers is not None:
        columns = "present_base, present_chat"
        for behaviour in study.answers["behaviour"].unique(maintain_order=True):
            where = f"{columns} where behaviour = {behaviour}"
            notes["behaviours", behaviour] = [Source("truth/answers.parquet", where)]
    return notes


def dictionary(study: Study, item: Dictionary) -> Notes:
    """Sources of one dictionary's numbers: of all seeds together, and of each."""
    seeds = [one_run(study, item, run) for run in item.runs]
    notes: Notes = {path: [source for note in seeds for source in note[path]] for path in seeds[0]}
    kl = [Source(f"evidence/{run.folder}/kl.parquet", "kl, tokens") for run in item.runs]
    notes |= {("kl",): kl, ("kl_recovered",): [*kl, BASE_KL], ("margins",): [*kl, BASE_KL]}
    if study.effects is not None:
        notes |= {(name,): [*effects(item.runs), BASE_EFFECTS] for name in ("effects", "answers_turned")}
        notes |= {(name,): [table(run.folder, name) for run in item.runs] for name in TABLES}
    for run, note in zip(item.runs, seeds, strict=True):
        notes |= below(("seeds", str(run.seed)), note)
    return notes


def one_run(study: Study, item: Dictionary, run: Run) -> Notes:
    """Sources of one seed's numbers."""
    record, latents = f"dictionaries/{run.folder}/run.json", f"latents/{run.folder}.parquet"
    rule = RULE if item.two_sided else RULE_ACTIVATION
    notes: Notes = {
        **{("fve", name): [Source(record, f"results.{key}")] for name, key in fve_names(item).items()},
        ("l0",): [Source(record, "results.l0")],
        ("latents",): [Source(latents, "latent")],
        ("dead",): [Source(latents, "dead")],
        **{("chat_specific", f"activation_{level}"): [Source(latents, RULE_ACTIVATION)] for level in NU_ACTIVATION},
        ("nu",): [Source(latents, "dead, nu_valid")],
        ("template", "alive"): [Source(latents, f"dead, {SHARES}")],
        ("template", "chat_specific"): [Source(latents, f"{SHARES}, {rule}")],
        ("seconds", "training"): [Source(record, "seconds")],
        ("patched",): [Source(f"evidence/{run.folder}/run.json", "results.sets")],
        ("kl_recovered",): [Source(f"evidence/{run.folder}/kl.parquet", "kl, tokens"), BASE_KL],
    }
    notes |= sources(item, run)
    if run.training is not None:
        notes["training", "late_rise"] = [Source(f"dictionaries/{run.folder}/training.parquet", "step, fve")]
    if item.two_sided:
        notes["classes",] = [Source(latents, "dead, class")]
        notes["chat_specific", "reconstruction_and_error"] = [Source(latents, RULE)]
        notes["chat_specific", "chat_only"] = [Source(latents, f"class, {RULE}")]
        notes["template", "chat_only"] = [Source(latents, f"dead, class, {SHARES}")]
    if study.effects is not None:
        notes["behaviours_found",] = [*effects([run]), BASE_EFFECTS]
    if run.steering is not None and study.answers is not None:
        notes["steering",] = [Source(f"evidence/steering-{run.folder}/steering.parquet", "shows")]
    return notes


def directions(study: Study, numbers: Tree) -> Notes:
    """Sources of what needs no dictionary; the rivals of its edits are the random sets of all dictionaries."""
    rivals = [source for item in study.dictionaries for source in effects(item.runs)]
    own = {"effects": [BASE_EFFECTS], "answers_turned": [BASE_EFFECTS], "behaviours_found": [BASE_EFFECTS, *rivals]}
    own |= {name: [table(BASELINES, name)] for name in TABLES}
    return {("directions", name, key): own[key] for name, tree in numbers["directions"].items() for key in tree}


def on_behaviours(study: Study) -> list[Source]:
    """Sources of the scoreboard: all tables on behaviours, and how many called latents were used."""
    folders = [run.folder for item in study.dictionaries for run in item.runs]
    used = [Source(f"evidence/{folder}/run.json", "results.chosen") for folder in folders]
    rivals = [source for item in study.dictionaries for source in effects(item.runs)]
    seen = [table(folder, "detection") for folder in [BASELINES, *folders]]
    return [BASE_EFFECTS, *rivals, *seen, *used]


def table(folder: str, name: str) -> Source:
    """A table of an evidence step on behaviours."""
    return Source(f"evidence/{folder}/{name}.parquet", TABLES[name])


def effects(runs: Iterable[Run]) -> list[Source]:
    """The tables of effects on behaviours."""
    return [Source(f"evidence/{run.folder}/behaviours.parquet", "logprob, present") for run in runs]


def costs(study: Study) -> Notes:
    """Sources of the steps' seconds and memory."""
    notes: Notes = {
        (key, step_name(name)): [Source(name, key)] for key in ("seconds", "peak_bytes") for name in study.records
    }
    return notes | {("total_seconds",): [Source(name, "seconds") for name in study.records]}
