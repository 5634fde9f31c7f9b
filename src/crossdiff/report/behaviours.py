"""Causal effects on the planted behaviours, and which behaviours a dictionary finds.

A change is measured against the unedited model on the same prompt: of the log-probability of the tuned model's answer
(mean nats per behaviour token, teacher-forced), and of whether the generated answer shows the behaviour.

A dictionary *finds* a behaviour by removal if taking its best latents out of the chat model lowers the
log-probability, on average over prompts, and by more than every random set of latents does: the 95 % t-interval
(over prompts) of the paired difference to each random set excludes 0. By addition: likewise, adding them to the base
model raises it.
"""

from collections.abc import Sequence

import polars as pl

from crossdiff.report.collect import Dictionary, Run, Study
from crossdiff.report.seeds import Tree, over_few, share

NONE, BEST, DIRECTION = "none", "best", "mean-difference"
CONTROLS = {"best": "random", "called": "called-random"}
"""Subjects that are latents of a dictionary, and the random sets of the same mass beside each."""
WANTED = {"remove": -1, "add": 1}
"""Edits, and the sign of the change that shows the behaviour in the edited latents."""


def changes(study: Study, tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of ``tables`` with ``logprob`` and ``rate`` as changes against the unedited model; kept in order.

    Columns: table (number), behaviour, edit, prompt, subject, logprob, rate (null where nothing was generated).
    Prompts whose tuned answer does not show the behaviour have no log-probability and are left out.
    """
    assert study.effects is not None
    keys = ["behaviour", "edit", "prompt"]
    columns = [*map(pl.col, [*keys, "subject", "logprob"]), pl.col("present").cast(pl.Float64).alias("rate")]
    none = study.effects.select(columns).filter(pl.col("subject") == NONE).drop("subject")
    rows = pl.concat([table.select(pl.lit(number).alias("table"), *columns) for number, table in enumerate(tables)])
    return (
        rows.filter(pl.col("subject") != NONE)
        .join(none, on=keys, suffix="_none", maintain_order="left")
        .with_columns(pl.col("logprob") - pl.col("logprob_none"), pl.col("rate") - pl.col("rate_none"))
        .drop("logprob_none", "rate_none")
        .drop_nulls("logprob")
    )


def of_dictionary(study: Study, item: Dictionary) -> Tree:
    """{effects: {behaviour: {edit: {subject: {logprob, rate}}}}, answers_turned}: mean changes, and `turned`.

    Seeds and random sets are averaged per prompt. Subjects: best and random; called and called-random where a latent is
    called chat-specific.
    """
    rows = of_sets(changes(study, [run.behaviours for run in item.runs if run.behaviours is not None]))
    return {"effects": summary(rows), "answers_turned": turned(rows)}


def of_sets(table: pl.DataFrame) -> pl.DataFrame:
    """The table with random sets of one kind under one name."""
    return table.with_columns(pl.col("subject").str.replace(r"random-\d+$", "random"))


def directions(study: Study) -> Tree:
    """{direction: {effects, behaviours_found, answers_turned}} of the edits without a dictionary.

    A direction has no random sets of its own, so it finds a behaviour only against those of all dictionaries at once.
    """
    assert study.effects is not None
    table = changes(study, [study.effects])
    tables = [run.behaviours for item in study.dictionaries for run in item.runs if run.behaviours is not None]
    rivals = randoms(changes(study, tables))
    names = table["subject"].unique(maintain_order=True).to_list() or [DIRECTION]
    return {
        name: {
            "effects": summary(rows),
            "behaviours_found": found(rows, rivals),
            "answers_turned": turned(rows),
        }
        for name in names
        for rows in [table.filter(pl.col("subject") == name)]
    }


def elsewhere(tables: Sequence[pl.DataFrame | None]) -> dict[str, Tree]:
    """Subject -> {edit: leaf}: nats a token by which an edit moves predictions on unrelated conversations.

    Mean over behaviours and over tables (seeds), with t-intervals over conversations.
    """
    rows = pl.concat([table for table in tables if table is not None])
    per_token = rows.with_columns(pl.col("kl") / pl.col("tokens"))
    averaged = per_token.group_by("subject", "edit", "conversation", maintain_order=True).agg(pl.col("kl").mean())
    tree: dict[str, Tree] = {}
    for (subject, edit), part in averaged.group_by("subject", "edit", maintain_order=True):
        tree.setdefault(str(subject), {})[str(edit)] = over_few(part.sort("conversation")["kl"].to_list(), 0.0)
    return tree


def turned(table: pl.DataFrame) -> Tree:
    """{edit: {subject: leaf}}: share of generated answers that an edit turns the wanted way, over the prompts of
    all behaviours whose tuned answer shows the behaviour.

    Removed from chat, the answer no longer shows the behaviour; added to base, it does. Seeds and random sets are
    averaged per prompt.
    """
    wanted = pl.col("edit").replace_strict(WANTED, return_dtype=pl.Float64) * pl.col("rate") > 0
    shares = (
        table.drop_nulls("rate")
        .with_columns(turned=wanted.cast(pl.Float64))
        .group_by("edit", "subject", "behaviour", "prompt", maintain_order=True)
        .agg(pl.col("turned").mean())
    )
    tree: Tree = {}
    for (edit, subject), rows in shares.group_by("edit", "subject", maintain_order=True):
        tree.setdefault(str(edit), {})[str(subject)] = share(rows.sort("behaviour", "prompt")["turned"].to_list())
    return tree


def summary(table: pl.DataFrame) -> Tree:
    """Mean changes with intervals over prompts, nested by behaviour, edit and subject."""
    averaged = table.group_by("behaviour", "edit", "subject", "prompt", maintain_order=True).agg(
        pl.col("logprob", "rate").mean()
    )
    tree: Tree = {}
    for (behaviour, edit, subject), rows in averaged.group_by("behaviour", "edit", "subject", maintain_order=True):
        rows = rows.sort("prompt")
        series = {name: rows[name].drop_nulls() for name in ("logprob", "rate")}
        leaves = {name: over_few(values.to_list()) for name, values in series.items() if values.len()}
        tree.setdefault(behaviour, {}).setdefault(edit, {})[subject] = leaves
    return tree


def found_by(study: Study, run: Run) -> Tree:
    """{edit: number of behaviours found} for one seed of a dictionary."""
    assert run.behaviours is not None
    table = changes(study, [run.behaviours])
    return found(table.filter(pl.col("subject") == BEST), randoms(table))


def randoms(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of random sets."""
    return table.filter(pl.col("subject").str.starts_with("random-"))


def found(subject: pl.DataFrame, rivals: pl.DataFrame) -> Tree:
    """{edit: number of behaviours found by ``subject``, given the random sets ``rivals``}."""
    return {
        edit: sum(is_found(rows, rivals, sign) for _, rows in chosen.group_by("behaviour", maintain_order=True))
        for edit, sign in WANTED.items()
        if (chosen := subject.filter(pl.col("edit") == edit)).height
    }


def is_found(rows: pl.DataFrame, rivals: pl.DataFrame, sign: int) -> bool:
    """Whether one behaviour, by one edit, is found; without any random set, or with a single prompt, nothing is."""
    keys = ["behaviour", "edit", "prompt"]
    paired = rows.select(*keys, "logprob").join(rivals, on=keys, suffix="_random")
    if paired.is_empty() or sign * rows["logprob"].to_numpy().mean() <= 0:
        return False
    margin = sign * (pl.col("logprob") - pl.col("logprob_random"))
    groups = paired.with_columns(margin=margin).sort("prompt").group_by("table", "subject", maintain_order=True)
    margins = [over_few(group["margin"].to_list()) for _, group in groups]
    return all(isinstance(each, dict) and each["low"] > 0 for each in margins)
