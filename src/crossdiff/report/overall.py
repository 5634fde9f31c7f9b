"""Numbers over all latents of one seed that the study reports, from L.parquet and the tables beside it.

median       nu_reconstruction and nu_error of a crosscoder: over the live latents of each class
delta_norm   highest
cosine       decoder and encoder: mean by class, and of random pairs
correlation  pearson and spearman, by the two columns
overlap      chat-only and highest-delta: share whose ν lies in the shared latents' central 95 % (50 %: rules that end
             in 50), by ν and rule
spread       nu_reconstruction and nu_error: mean and quartiles over the chat-only latents, and over those and as many
             shared ones
undefined    the same ν: chat-only latents that have none, the dead ones among them
below        by rule and threshold of ν: latents, Σ frequency, Σ frequency · mean activation
twins        pairs, and means of divergence and co-activation; false_twins, their control, likewise
"""

from collections.abc import Iterator

import polars as pl

from crossdiff.provenance.origins import Source
from crossdiff.report.collect import Dictionary, Run
from crossdiff.report.latents import CLASSES, alive
from crossdiff.report.seeds import Tree

LEVELS = (0.3, 0.6)
"""Thresholds of ν that the study sums frequencies at."""
RULES = {"nu_activation_below": "activation", "nu_reconstruction_and_error_below": "reconstruction_and_error"}
SIDES = {"cosine": "decoder", "enc_cosine": "encoder"}
GROUPS = {"chat-only in shared": "chat-only", "highest delta_norm in shared": "highest-delta"}
NUS = ("nu_reconstruction", "nu_error")
SPREAD = {"chat-only": "chat-only", "chat-only and as many shared": "balanced"}
"""Groups whose ν is summed up."""
PLACES = {None: "mean", 0.25: "lower", 0.5: "median", 0.75: "upper"}
"""What is told of a spread, by its quantile."""
TOGETHER = ("divergence", "chat_given_base", "base_given_chat")
"""Columns of the twins' table that are averaged."""
PARTS = ("delta_norm", "cosine", "correlation", "overlap", "spread", "undefined", "below")
"""What is read from the comparisons."""


def overall(item: Dictionary, run: Run) -> Tree:
    """Numbers of one seed."""
    tree: Tree = {}
    for path, value in [*singles(run.comparisons), *spreads(run.comparisons), *sums(run.comparisons)]:
        put(tree, path, value)
    if item.two_sided:
        for kind, name in (("twin", "twins"), ("false", "false_twins")):
            tree[name] = together(run.twins.filter(pl.col("kind") == kind))
        for path, value in medians(run.latents):
            put(tree, path, value)
    return tree


def medians(latents: pl.DataFrame) -> Iterator[tuple[tuple[str, ...], float]]:
    """(path, median) of each ν by class; none of a class without one."""
    for nu in NUS:
        for name in CLASSES:
            median = latents.filter(alive & (pl.col("class") == name))[nu].median()
            if isinstance(median, float):
                yield ("median", nu, name), median


def singles(comparisons: pl.DataFrame) -> Iterator[tuple[tuple[str, ...], float]]:
    """(path, number) of everything that is one number."""
    for row in comparisons.filter(pl.col("at").is_null()).iter_rows(named=True):
        quantity, group = row["quantity"], row["group"]
        kind, _, rest = quantity.partition("_")
        if quantity in SIDES:
            yield ("cosine", SIDES[quantity], group), row["value"]
        elif kind in ("pearson", "spearman"):
            yield ("correlation", kind, rest), row["value"]
        elif kind == "overlap" and group in GROUPS:
            nu, _, rule = rest.rpartition("_")
            yield ("overlap", GROUPS[group], nu, rule), row["value"]
        elif quantity == "delta_norm_highest":
            yield ("delta_norm", "highest"), row["value"]
        elif quantity.endswith("_undefined"):
            yield ("undefined", quantity.removesuffix("_undefined")), int(row["value"])


def spreads(comparisons: pl.DataFrame) -> Iterator[tuple[tuple[str, ...], float]]:
    """(path, number) of how ν is spread in the groups that the study sums up."""
    rows = comparisons.filter(pl.col("quantity").is_in(NUS), pl.col("group").is_in(list(SPREAD)))
    for nu, group, at, value in rows.select("quantity", "group", "at", "value").iter_rows():
        if at in PLACES:
            yield ("spread", nu, SPREAD[group], PLACES[at]), value


def sums(comparisons: pl.DataFrame) -> Iterator[tuple[tuple[str, ...], float | int]]:
    """(path, number) of the latents below a threshold of ν."""
    for level in LEVELS:
        rows = comparisons.filter((pl.col("at") - level).abs() < 1e-9)
        for quantity, value in rows.select("quantity", "value").iter_rows():
            for below, rule in RULES.items():
                if quantity == below:
                    yield ("below", rule, str(level), "latents"), int(value)
                elif quantity.startswith(f"{below}_"):
                    yield ("below", rule, str(level), quantity.removeprefix(f"{below}_")), value


def together(pairs: pl.DataFrame) -> Tree:
    """How many pairs, and means of what is defined for some."""
    means = {name: pairs[name].drop_nulls().mean() for name in TOGETHER}
    return {"pairs": pairs.height} | {name: mean for name, mean in means.items() if mean is not None}


def put(tree: Tree, path: tuple[str, ...], value: float) -> None:
    """Set a leaf of nested names."""
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def sources(item: Dictionary, run: Run) -> dict[tuple[str, ...], list[Source]]:
    """What the numbers of one seed are made of."""
    table = Source(f"latents/{run.folder}.comparisons.parquet", "quantity, value")
    found: dict[tuple[str, ...], list[Source]] = {(part,): [table] for part in PARTS}
    if item.two_sided:
        twins = Source(f"latents/{run.folder}.twins.parquet", ", ".join(("kind", *TOGETHER)))
        found |= {("twins",): [twins], ("false_twins",): [twins]}
        found["median",] = [Source(f"latents/{run.folder}.parquet", ", ".join(("dead", "class", *NUS)))]
    return found
