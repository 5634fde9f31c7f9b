"""Latents that ν names in every seed, and that are one latent over the seeds."""

import polars as pl

from crossdiff.report.collect import Dictionary
from crossdiff.report.latents import chat_specific


def steady(item: Dictionary) -> list[dict[int, int]]:
    """Each as {seed: latent}, the lowest mean |ν| of the activation first; none of a dictionary with one run."""
    seeds = len(item.runs)
    if seeds < 2 or any("group" not in run.latents.columns for run in item.runs):
        return []
    named = pl.concat([
        run.latents.filter(chat_specific(item.two_sided), pl.col("group").is_not_null())
        .select("group", "latent", size=pl.col("nu_activation").abs(), seed=pl.lit(run.seed))
        for run in item.runs
    ])  # fmt: skip
    whole = named.filter(pl.col("seed").n_unique().over("group") == seeds, pl.len().over("group") == seeds)
    groups = whole.sort("seed").partition_by("group", maintain_order=True)
    groups.sort(key=lambda group: group["size"].fill_null(float("inf")).mean() or 0.0)
    return [dict(group.select("seed", "latent").iter_rows()) for group in groups]
