"""Detection before the answer, in numbers: what a few readings of a prompt say of the answer that is to come.

Scores are chat minus base; beside their area stand those of the chat model's readings and of the base's. An interval is
of one seed's area on that many prompts, at the mean over seeds: seeds share the prompts, so more of them make it no
narrower.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from crossdiff.evidence.behaviours.detection import accuracy, auroc, auroc_interval
from crossdiff.report.seeds import Tree


def detection(tables: Sequence[pl.DataFrame | None]) -> dict[str, Tree]:
    """Subject -> behaviour -> {auroc, auroc_chat, auroc_base, accuracy}; ``tables`` are of one dictionary's seeds.

    ``accuracy`` is balanced, at the threshold fixed on other prompts.
    """
    known = [table.with_columns(seed=pl.lit(number)) for number, table in enumerate(tables) if table is not None]
    tree: dict[str, Tree] = {}
    for (subject, behaviour), rows in pl.concat(known).group_by("subject", "behaviour", maintain_order=True):
        seeds = [part for _, part in rows.group_by("seed", maintain_order=True)]
        tree.setdefault(str(subject), {})[str(behaviour)] = {
            **{name: area(seeds, column) for name, column in COLUMNS.items()},
            "accuracy": right(seeds),
        }
    return tree


COLUMNS = {"auroc": "score", "auroc_chat": "chat", "auroc_base": "base"}


def split(table: pl.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of prompts that show the behaviour, and of controls."""
    shown = pl.col("shows")
    return table.filter(shown)[column].to_numpy(), table.filter(~shown)[column].to_numpy()


def area(seeds: Sequence[pl.DataFrame], column: str) -> dict[str, float | int]:
    """Mean area over seeds as a leaf."""
    both = [split(table, column) for table in seeds]
    mean = float(np.mean([auroc(*scores) for scores in both]))
    sizes = len(both[0][0]), len(both[0][1])
    low, high = auroc_interval(mean, *sizes)
    return {"mean": mean, "low": low, "high": high, "n": sum(sizes)}


def right(seeds: Sequence[pl.DataFrame]) -> dict[str, float | int]:
    """Mean balanced accuracy over seeds as a leaf; the interval is the mean of the seeds' ends."""
    found = [accuracy(*split(table, "score"), table["threshold"][0]) for table in seeds]
    return {key: float(np.mean([each[key] for each in found])) for key in ("mean", "low", "high")} | {
        "n": found[0]["n"]
    }
