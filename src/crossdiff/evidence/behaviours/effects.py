"""The experiments on planted behaviours: who is edited and read, and the tables of what came of it.

A dictionary takes part with its best latents for a behaviour, and with the best of those that are called
chat-specific, if any is; beside each stands a random set of the same mass. Without a dictionary the mean difference of
the answer's positions, the same by role, and a few principal components of the differences do. All are chosen on select
prompts by one rule (`selection`) and judged on others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor

from crossdiff.cli import progress
from crossdiff.corpus.rows import PLANTED
from crossdiff.dictionaries import Dictionary
from crossdiff.evidence import shared
from crossdiff.evidence.behaviours import directions
from crossdiff.evidence.behaviours.causal import Effect, behaviour_effects
from crossdiff.evidence.behaviours.collateral import collateral
from crossdiff.evidence.behaviours.selection import Case, Material, attribute, best, matched
from crossdiff.evidence.edits import RUNNING, Direction, Directions, Latents, Steering
from crossdiff.evidence.kl.divergence import Conversation
from crossdiff.evidence.settings import Evidence
from crossdiff.evidence.shared import Shared
from crossdiff.evidence.streams import Site
from crossdiff.truth.behaviours import load as load_behaviours

BEHAVIOUR_SCHEMA = {
    "behaviour": pl.String, "subject": pl.String, "edit": pl.String, "prompt": pl.UInt32, "present": pl.Boolean,
    "logprob": pl.Float32, "tokens": pl.UInt32, "answer": pl.String,
}  # fmt: skip
COLLATERAL_SCHEMA = {
    "behaviour": pl.String, "subject": pl.String, "edit": pl.String, "conversation": pl.UInt32, "tokens": pl.UInt32,
    "kl": pl.Float64,
}  # fmt: skip
Sets = dict[tuple[str, str], list[int]]
"""(behaviour, subject) -> latents or components."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """Edits of one kind, and which of their subjects answer in words and are looked at elsewhere."""

    steering: Steering
    generated: Mapping[Direction, Sequence[str]]
    elsewhere: Sequence[str]


def of_dictionary(
    site: Site, dictionary: Dictionary, seen: dict[str, Material], called: Sequence[int] | None, chosen: Evidence
) -> tuple[list[Experiment], dict[str, Any]]:
    """A dictionary's experiment, and how its latents were chosen, for the record."""
    sets, told = choose_latents(site, dictionary, seen, called, chosen)
    subjects = {subject for _, subject in sets}
    generated = ["best", *(f"random-{n}" for n in range(min(chosen.generated_sets, chosen.random_sets)))]
    # Additions of a few latents are told by the log-probability: their words have yet to show a behaviour, so that
    # few of them are generated (`added_answers`).
    words: dict[Direction, list[str]] = {"remove": [*generated, *({"called"} & subjects)], "add": generated}
    elsewhere = [subject for subject in ("best", "called") if subject in subjects]
    return [Experiment(Latents(site, dictionary, sets), words, elsewhere)], told


def without_dictionary(
    site: Site, seen: dict[str, Material], basis_CD: Tensor, chosen: Evidence
) -> tuple[list[Experiment], dict[str, Any]]:
    """The unedited models and the baselines, and which components were chosen."""
    plain = {}
    for name, what in seen.items():
        plain[name, "none"] = torch.zeros_like(what.difference_D)
        plain[name, "mean-difference"] = what.difference_D
    parts: Sets = {
        (name, "pca"): best(directions.attribute(site, basis_CD, what), chosen.behaviour_latents)
        for name, what in seen.items()
    }
    both = ["none", "mean-difference"]
    experiments = [
        Experiment(Directions(plain), dict.fromkeys(RUNNING, both), both[1:]),
        Experiment(
            directions.ByRole(site, seen), {"remove": ["mean-difference-roles"], "add": []}, ["mean-difference-roles"]
        ),
        Experiment(directions.Components(site, basis_CD, parts), {"remove": [], "add": []}, ["pca"]),
    ]
    return experiments, {name: {"pca": {"components": some}} for (name, _), some in parts.items()}


def choose_latents(
    site: Site, dictionary: Dictionary, seen: dict[str, Material], called: Sequence[int] | None, chosen: Evidence
) -> tuple[Sets, dict[str, Any]]:
    """Best latents of each behaviour, best called ones if any latent is called, and random sets matched to each."""
    sets: Sets = {}
    told: dict[str, Any] = {}
    for number, (name, what) in enumerate(sorted(seen.items())):
        score_F, mass_F = attribute(site, dictionary, what)
        mine = {"best": best(score_F, chosen.behaviour_latents)}
        generator = torch.Generator().manual_seed(chosen.seed * 1000 + number)
        for random in range(chosen.random_sets):
            mine[f"random-{random}"] = matched(mass_F, mine["best"], set(mine["best"]), generator)
        if called:
            allowed_F = torch.zeros_like(score_F)
            allowed_F[list(called)] = 1
            mine["called"] = best(score_F * allowed_F, chosen.behaviour_latents)
            taken = {*mine["best"], *mine["called"]}
            mine["called-random-0"] = matched(mass_F, mine["called"], taken, generator)
        sets |= {(name, subject): latents for subject, latents in mine.items()}
        told[name] = {
            subject: {"latents": latents, "score": score_F[latents].tolist(), "mass": mass_F[latents].tolist()}
            for subject, latents in mine.items()
        }
    return sets, told


def run(
    site: Site,
    tokenizer: Any,
    experiments: Sequence[Experiment],
    score: Sequence[Case],
    held_out: Sequence[Conversation],
    common: Shared,
    chosen: Evidence,
    stops: set[int],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """behaviours.parquet and collateral.parquet."""
    score = shared.scored(common.seen, score)
    places = elsewhere(held_out, chosen.collateral_conversations)
    texts, streams = [held_out[place] for place in places], [common.conversations[place] for place in places]
    total = 2 * sum(len(score) * len(each.steering.subjects) + len(texts) for each in experiments)
    effects: list[Effect] = []
    moved: list[dict[str, object]] = []
    with progress(total, "behaviours", "answer") as bar:
        for each in experiments:
            effects += behaviour_effects(
                site,
                each.steering,
                score,
                common.tuned,
                common.bases,
                each.generated,
                chosen.added_answers,
                chosen.new_tokens,
                stops,
                bar.update,
            )
            edits = [(name, subject) for name in common.seen for subject in each.elsewhere]
            moved += collateral(site, each.steering, edits, texts, streams, bar.update)
    return behaviour_table(effects, tokenizer), pl.DataFrame(moved, schema=COLLATERAL_SCHEMA)


def elsewhere(held_out: Sequence[Conversation], most: int) -> list[int]:
    """Places of the first conversations in which nothing was planted: on a planted prompt an edit may well act."""
    return [place for place, each in enumerate(held_out) if each.source != PLANTED][:most]


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
