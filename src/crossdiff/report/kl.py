"""The KL experiment in numbers: nats a token, and the share of the gap that an intervention closes.

KL(chat ‖ edited) over tokens of assistant turns (study_spec §3.3). Conversations are the clusters: tokens of one
conversation are not independent. Seeds, and random sets of one size, are averaged within a conversation first.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl

from crossdiff.evidence.intervals import interval, posed, recovered_share, token_mean
from crossdiff.report import names
from crossdiff.report.collect import Dictionary, Run, Study
from crossdiff.report.seeds import Tree, plain

NONE, REST = "none", "error"


def baselines(study: Study) -> Tree:
    """KL of the dictionary-free interventions: {kl: {positions: {intervention: leaf}}, kl_recovered: …}."""
    return levels(study, by_conversation(study.kl))


def by_layer(study: Study, table: pl.DataFrame) -> Tree:
    """KL a token when the models are joined after other blocks: {positions: {intervention: {block: leaf}}}."""
    resampling = study.config.evidence.resamples, study.config.evidence.seed
    found: Tree = {}
    groups = ["positions", "intervention", "layer"]
    for (positions, intervention, layer), rows in table.filter(pl.col("tokens") > 0).group_by(
        groups, maintain_order=True
    ):
        level = plain(token_mean(rows["kl"], rows["tokens"], *resampling))
        found.setdefault(positions, {}).setdefault(intervention, {})[str(layer)] = level
    return found


def of_dictionary(study: Study, item: Dictionary) -> Tree:
    """The same for a dictionary's interventions, and margins, as shares of the KL gap, from paired conversations.

    {margins: {positions: {best_over_random, whole_over_template, whole_over_components, rest_over_whole}}}: how much
    more of the gap the latents first by ν close than a random set of as many, the whole dictionary than the chat stream
    at template tokens and than the difference's principal components, and everything but the latents than the whole.
    """
    table = by_conversation(pl.concat([run.kl for run in item.runs]))
    everything = pl.concat([by_conversation(study.kl), table])
    margins: Tree = {}
    for positions, rows in everything.group_by("positions", maintain_order=True):
        wide = rows.pivot("intervention", index="conversation", values="kl").sort("conversation")
        whole = names.whole(table["intervention"].unique().to_list())
        pairs = {
            "best_over_random": ("best-nu", "random"),
            "whole_over_template": (whole, "template"),
            "whole_over_components": (whole, "components"),
            "rest_over_whole": (REST, whole),
        }
        margins[positions[0]] = {
            name: margin(study, both, one, other)
            for name, (one, other) in pairs.items()
            if one in wide.columns and other in wide.columns
            for both in [wide.drop_nulls([one, other, NONE])]
            if posed(both[NONE])
        }
    return levels(study, table) | {"margins": margins}


def of_run(study: Study, run: Run) -> Tree:
    """The share of the gap that each intervention of one seed closes, {positions: {intervention: number}}."""
    found: Tree = {}
    for positions, intervention, rows in paired(study, by_conversation(run.kl)):
        found.setdefault(positions, {})[intervention] = 1 - float(rows["kl"].sum()) / float(rows["kl_none"].sum())
    return found


def paired(study: Study, table: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """(positions, intervention, rows) with KL(none) of the same conversations beside, where a share is posed."""
    none = by_conversation(study.kl).filter(pl.col("intervention") == NONE)
    for (positions, intervention), rows in table.group_by("positions", "intervention", maintain_order=True):
        both = rows.join(none, on=["positions", "conversation"], suffix="_none").sort("conversation")
        if intervention != NONE and posed(both["kl_none"]):
            yield str(positions), str(intervention), both


def by_conversation(table: pl.DataFrame) -> pl.DataFrame:
    """One row per (intervention, positions, conversation): mean KL and tokens over seeds and over random sets."""
    return (
        table.with_columns(pl.col("intervention").str.replace(r"^random-\d+$", "random"))
        .group_by("intervention", "positions", "conversation", maintain_order=True)
        .agg(pl.col("kl").mean(), pl.col("tokens").mean())
        .filter(pl.col("tokens") > 0)
    )


def levels(study: Study, table: pl.DataFrame) -> Tree:
    """KL a token of each intervention, and the share of KL(none) it takes away."""
    resampling = study.config.evidence.resamples, study.config.evidence.seed
    found: Tree = {"kl": {}, "kl_recovered": {}}
    for (positions, intervention), rows in table.group_by("positions", "intervention", maintain_order=True):
        level = token_mean(rows["kl"], rows["tokens"], *resampling)
        found["kl"].setdefault(positions, {})[intervention] = plain(level)
    for where, name, both in paired(study, table):
        found["kl_recovered"].setdefault(where, {})[name] = plain(
            recovered_share(both["kl_none"], both["kl"], *resampling)
        )
    return found


def margin(study: Study, wide: pl.DataFrame, one: str, other: str) -> dict[str, float] | float:
    """(KL_other − KL_one) / KL_none with its interval; ``wide`` has a column of summed KL per intervention."""
    settings = study.config.evidence
    clusters = tuple(wide[name].to_numpy() for name in (other, one, NONE))
    return plain(interval(difference, clusters, settings.resamples, settings.seed))


def difference(other: np.ndarray, one: np.ndarray, none: np.ndarray, axis: int) -> np.ndarray:
    """How much more of the gap one intervention closes than the other, from sums over conversations."""
    return (other.sum(axis) - one.sum(axis)) / none.sum(axis)
