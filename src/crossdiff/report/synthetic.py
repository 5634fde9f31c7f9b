"""Which criterion can be believed: the synthetic benchmark's scores as numbers of the report.

    scores    mcc_joint, uniqueness, firing_f1, matched, recovered, dead, fve, l0 and, of a crosscoder, twin_rate
    criteria  <side>: <criterion>: precision, recall, auprc, called; null_called and null_rate, what it calls on the
              pair where nothing differs; and classes: the share of each class's latents that it calls

Intervals over seeds, each a pair of its own; of two seeds both values stand in their place (`seeds.few`). A number that
no seed defines is left out.
"""

import polars as pl

from crossdiff.report.seeds import Tree, few

CRITERIA = {"delta_norm": "Δ_norm", "nu_pair": "ν_r and ν_ε", "nu": "ν"}
"""Criteria in the order they are shown, in words; others follow by their own names."""
CLASSES = {
    "identical": "shared, identical",
    "rescaled": "rescaled",
    "rotated": "rotated",
    "regated": "re-gated",
    "base-only": "base only",
    "chat-only": "chat only",
    "child-new": "new child",
    "none": "near no factor",
}
SCORES = (
    "fve", "l0", "dead", "mcc_joint", "mcc_base", "mcc_chat", "uniqueness", "firing_f1", "matched", "recovered",
    "twin_rate",
)  # fmt: skip
RIGHT = ("precision", "recall", "auprc", "called")
COUNTS = ("l0", "called")
SIGNED = ("fve",)
"""Shares that can fall below 0; all others but the counts lie in [0, 1]."""


def synthetic(scores: pl.DataFrame) -> Tree:
    """Numbers of scores.parquet, by dictionary."""
    whole = scores.filter(pl.col("bucket").is_null())
    names = scores["dictionary"].unique(maintain_order=True)
    return {name: dictionary(whole.filter(pl.col("dictionary") == name)) for name in names}


def dictionary(scores: pl.DataFrame) -> Tree:
    """Numbers of one dictionary."""
    pair, null = (scores.filter(pl.col("world") == world) for world in ("pair", "null"))
    plain = pair.filter(pl.col("criterion").is_null() & pl.col("class").is_null())
    tree: Tree = {"scores": numbers(plain, SCORES), "criteria": {}}
    asked = pair.filter(pl.col("criterion").is_not_null()).select("side", "criterion").unique(maintain_order=True)
    for side, criterion in asked.iter_rows():
        chosen = (pl.col("side") == side) & (pl.col("criterion") == criterion)
        tree["criteria"].setdefault(side, {})[criterion] = of_criterion(pair.filter(chosen), null.filter(chosen))
    return tree


def of_criterion(pair: pl.DataFrame, null: pl.DataFrame) -> Tree:
    """Numbers of one criterion on one side."""
    all_ = pl.col("class").is_null() | (pl.col("class") == "exclusive")
    calls = null.filter(pl.col("class").is_null())
    tree: Tree = numbers(pair.filter(all_ & (pl.col("score") != "call_rate")), RIGHT)
    renamed = {"called": "null_called", "call_rate": "null_rate"}
    tree |= {renamed[name]: value for name, value in numbers(calls, tuple(renamed)).items()}
    rates = {
        name: numbers(pair.filter((pl.col("class") == name) & (pl.col("score") == "call_rate")), ("call_rate",))
        for name in CLASSES
    }
    return tree | {"classes": {name: rate["call_rate"] for name, rate in rates.items() if rate}}


def numbers(rows: pl.DataFrame, names: tuple[str, ...]) -> Tree:
    """Each score's values over the seeds that define it, as a leaf."""
    found = {
        name: rows.filter(pl.col("score") == name)["value"].fill_nan(None).drop_nulls().to_list() for name in names
    }
    return {name: few(values, bounds(name)) for name, values in found.items() if values}


def bounds(name: str) -> tuple[float, float] | None:
    """Where an interval of this number ends; a count's does at 0 alone."""
    if name in COUNTS:
        return None
    return (-1.0, 1.0) if name in SIGNED else (0.0, 1.0)


def buckets(scores: pl.DataFrame, kind: str, classes: tuple[str, ...] | None) -> pl.DataFrame:
    """Mean over seeds of the share of chat's own factors that each criterion finds, by effect or decile.

    Columns dictionary, criterion, at (the number in the bucket's name), value; ``classes`` are averaged with equal
    weight, None takes what is over all classes.
    """
    of_class = pl.col("class").is_null() if classes is None else pl.col("class").is_in(classes)
    rows = (
        scores.filter(
            (pl.col("world") == "pair")
            & (pl.col("score") == "found")
            & (pl.col("side") == "chat")
            & of_class
            & pl.col("bucket").str.starts_with(kind)
        )
        .fill_nan(None)
        .drop_nulls("value")
    )
    at = pl.col("bucket").str.split(" ").list.last().cast(pl.Float64)
    return rows.group_by("dictionary", "criterion", at.alias("at"), maintain_order=True).agg(pl.col("value").mean())
