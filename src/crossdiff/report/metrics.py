"""metrics.json: every number the report shows, nested by name; each leaf a number or {mean, low, high, n}.

    pair          facts of the pair: difference_share and that of the null tune, components (their number), kl,
                  kl_by_layer, high_norm_share, tokens, behaviours, layers, width
    dictionaries  <name>: fve, l0, dead, classes, chat_specific, nu, template, kl, kl_recovered, margins, effects,
                  answers_turned, collateral, detection, behaviours_found, patched (latents of each intervention),
                  steering, seconds, training (late_rise), calls (counts, null_tune, power, power_upheld, stability),
                  and those of `overall`; and the same but calls per seed, as plain numbers, under seeds
    directions    <direction>, what needs no dictionary: effects, answers_turned, behaviours_found, collateral,
                  detection
    behaviours    list of {behaviour, dictionary, called, auroc, effect, control, best_baseline}: `scoreboard.entries`
    synthetic     <dictionary>: scores and criteria on a pair of known factors (`synthetic`)
    calibration   list of {dictionary, source, criterion, nominal, observed, recall, seeds, …}: see `calls.calibration`
    costs         seconds and largest resident memory (bytes) of each step

Intervals: over seeds, two-sided 95 % t-intervals (`seeds.leaf`; n = seeds); on synthetic pairs and null dictionaries of
two seeds both values (`seeds.few`). KL: 95 % bootstrap over conversations, seeds averaged first (n = conversations), so
they are of these dictionaries; each seed's shares stand under seeds. Effects on behaviours and collateral: t-intervals
over prompts or conversations; shares of answers: Wilson's. Detection: `before`.
"""

from typing import Any

import polars as pl

from crossdiff.report import before, behaviours, calls, kl, scoreboard, steering
from crossdiff.report.collect import Dictionary, Run, Study
from crossdiff.report.interpretation import interpretation
from crossdiff.report.latents import (
    CLASSES,
    MOSTLY,
    NU_ACTIVATION,
    THIRD,
    alive,
    by_activation,
    by_error_and_reconstruction,
    chat_only,
    chat_specific,
    on_template,
)
from crossdiff.report.overall import overall
from crossdiff.report.seeds import RANGES, Tree, over_seeds, share
from crossdiff.report.synthetic import synthetic
from crossdiff.report.trained import late_rise


def metrics(study: Study) -> Tree:
    """All numbers of the study."""
    found: Tree = {"pair": pair(study), "dictionaries": {}}
    for item in study.dictionaries:
        found["dictionaries"][item.name] = dictionary(study, item)
    if study.effects is not None:
        found["directions"] = directions(study)
        found["behaviours"] = scoreboard.entries(study, found)
    if study.synthetic is not None:
        found["synthetic"] = synthetic(study.synthetic)
    return found | {"calibration": calls.calibration(called(study)), "costs": costs(study)}


def directions(study: Study) -> Tree:
    """Numbers of what needs no dictionary: {direction: {effects, answers_turned, …}}."""
    tree = behaviours.directions(study)
    for name, moved in behaviours.elsewhere([study.collateral]).items():
        tree.setdefault(name, {})["collateral"] = moved
    for name, seen in before.detection([study.detection]).items():
        tree.setdefault(name, {})["detection"] = seen
    return tree


def called(study: Study) -> calls.Records:
    """Results of the calls of each dictionary."""
    return {item.name: study.records[f"calls/{item.name}.run.json"]["results"] for item in study.dictionaries}


def pair(study: Study) -> Tree:
    """What is known of the pair before any dictionary."""
    manifest = study.manifest
    tree: Tree = {
        "layers": study.pair["layers"],
        "width": study.pair["width"],
        "difference_share": numbers(manifest["difference_share"]),
        "tokens": {split: facts["tokens"] for split, facts in splits(manifest).items()},
        "high_norm_share": {
            split: 1 - facts["kept"] / facts["tokens"] for split, facts in splits(manifest).items() if facts["tokens"]
        },
        "kl": kl.baselines(study),
    }
    if study.components:
        tree["components"] = study.components
    if study.null_manifest is not None:
        tree["null_difference_share"] = numbers(study.null_manifest["difference_share"])
    if study.layers is not None:
        tree["kl_by_layer"] = kl.by_layer(study, study.layers)
    if study.answers is not None:
        tree["behaviours"] = rates(study.answers)
    return tree


def numbers(tree: Tree) -> Tree:
    """The tree without what was not measured."""
    found = {name: numbers(node) if isinstance(node, dict) else node for name, node in tree.items()}
    return {name: node for name, node in found.items() if node is not None}


def splits(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Facts of each split in the activations' manifest."""
    return manifest["splits"]


def rates(answers: pl.DataFrame) -> Tree:
    """Share of answers that show each behaviour: on its held-out prompts and on controls, in both models."""
    tree: Tree = {}
    for (behaviour, kind), rows in answers.group_by("behaviour", "kind", maintain_order=True):
        shares = {side: share(rows[f"present_{side}"].cast(pl.Float64).to_list()) for side in ("base", "chat")}
        tree.setdefault(str(behaviour), {})[str(kind).replace("-", "_")] = shares | {"prompts": rows.height}
    return tree


def dictionary(study: Study, item: Dictionary) -> Tree:
    """Numbers of one dictionary over its seeds."""
    seeds, ranges = [one_run(item, run) for run in item.runs], RANGES
    if study.effects is not None:
        ranges = RANGES | {"behaviours_found": (0.0, float(study.effects["behaviour"].n_unique()))}
        for tree, run in zip(seeds, item.runs, strict=True):
            tree["behaviours_found"] = behaviours.found_by(study, run)
    for tree, run in zip(seeds, item.runs, strict=True):
        tree["patched"] = study.records[f"evidence/{run.folder}/run.json"]["results"].get("sets", {})
        tree["kl_recovered"] = kl.of_run(study, run)
    settings = study.config.evidence.steering
    if settings is not None and study.answers is not None:
        planted = study.answers["behaviour"].unique(maintain_order=True).to_list()
        for tree, run in zip(seeds, item.runs, strict=True):
            assert run.steering is not None
            tree["steering"] = steering.rates(run.steering, settings.scales, planted)
    tree = over_seeds(seeds, ranges) | kl.of_dictionary(study, item)
    if study.effects is not None:
        tree |= behaviours.of_dictionary(study, item)
        tree["collateral"] = behaviours.elsewhere([run.collateral for run in item.runs])
        tree["detection"] = before.detection([run.detection for run in item.runs])
    tree["calls"] = calls.calls(called(study)[item.name])
    explained = interpretation(study, item)
    if explained is not None:
        tree["interpretation"] = explained
    return tree | {"seeds": {str(run.seed): tree for run, tree in zip(item.runs, seeds, strict=True)}}


def one_run(item: Dictionary, run: Run) -> Tree:
    """Numbers of one seed, before any comparison with other files."""
    latents = run.latents
    tree: Tree = {
        "fve": fve(item, run),
        "l0": run.results["l0"],
        "latents": latents.height,
        "dead": latents["dead"].mean(),
    }
    if item.two_sided:
        tree["classes"] = {name: latents.filter(alive & (pl.col("class") == name)).height for name in CLASSES}
    tree["chat_specific"] = counts(item, latents)
    live = latents.filter(alive)
    tree["nu"] = {"alive": live.height, "valid": live.filter(pl.col("nu_valid").fill_null(False)).height}
    tree["template"] = template(item, latents)
    tree |= overall(item, run)
    if run.training is not None:
        tree["seconds"] = {"training": run.record["seconds"]}
    if (rise := late_rise(run)) is not None:
        tree["training"] = {"late_rise": rise}
    return tree


def fve(item: Dictionary, run: Run) -> Tree:
    """Fraction of variance explained on validation tokens, per model and pooled."""
    results = run.results
    return {name: results[key] for name, key in fve_names(item).items() if key in results}


def fve_names(item: Dictionary) -> dict[str, str]:
    """Our names -> keys in the dictionary's run.json."""
    return {"pooled": "fve", "base": "fve_base", "chat": "fve_chat"} if item.two_sided else {"pooled": "fve"}


def counts(item: Dictionary, latents: pl.DataFrame) -> Tree:
    """Chat-specific latents by each rule; ``chat_only``: those of the chat-only ones that ν_r and ν_ε confirm."""
    tree: Tree = {}
    if item.two_sided:
        tree["reconstruction_and_error"] = latents.filter(by_error_and_reconstruction).height
        tree["chat_only"] = latents.filter(by_error_and_reconstruction & chat_only).height
    return tree | {
        f"activation_{threshold}": latents.filter(by_activation(threshold)).height for threshold in NU_ACTIVATION
    }


def template(item: Dictionary, latents: pl.DataFrame) -> Tree:
    """Mean template share of a latent, and shares of latents that are mostly template, and a third of it or more.

    The mean is over the latents that are active on chat text, and a group without one is left out; the shares are of
    all of a group's latents.
    """
    groups = {"chat_specific": chat_specific(item.two_sided), "alive": alive}
    if item.two_sided:
        groups["chat_only"] = chat_only
    shares = {name: latents.filter(mask).select(share=on_template)["share"] for name, mask in groups.items()}
    return {
        name: {
            "mean": share.mean(),
            "mostly": (share > MOSTLY).fill_null(False).mean(),
            "third": (share >= THIRD).fill_null(False).mean(),
        }
        for name, share in shares.items()
        if share.count()
    }


def costs(study: Study) -> Tree:
    """Seconds and memory of each recorded step, and the seconds' sum (steps that ran side by side are added up)."""
    steps = {step_name(name): record for name, record in study.records.items()}
    return {
        "seconds": {name: record["seconds"] for name, record in steps.items()},
        "peak_bytes": {name: record["peak_bytes"] for name, record in steps.items()},
        "total_seconds": sum(record["seconds"] for record in steps.values()),
    }


def step_name(record: str) -> str:
    """A step by its record's place under results/<pair>."""
    return record.removesuffix("/run.json").removesuffix(".run.json")
