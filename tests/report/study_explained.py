"""Made-up results of the interpretation step, scored by its own code."""

from typing import Any

import numpy as np
import polars as pl

from crossdiff.evidence.interpretation.sampling import GROUPS
from crossdiff.evidence.interpretation.scores import Verdicts, summary


def explained(rng: np.random.Generator, two_sided: bool) -> dict[str, Any]:
    """Results of a record: 16 latents judged on 25 rows each, right in four of five cases."""
    latent, row = (part.ravel() for part in np.meshgrid(np.arange(16), np.arange(25), indexing="ij"))
    group = row % len(GROUPS)
    verdicts = Verdicts(latent, row, group, (rng.random(len(row)) < 0.8) == (group < 3))
    quarters = {str(n + 1): summary(verdicts.of(latent % 4 == n), 100, 0) for n in range(4)}
    return {
        "latents": 16,
        "texts": 405,
        "judged": 400,
        "malformed": {"explanations": 0, "verdicts": 1},
        "overall": summary(verdicts, 100, 0),
        "by_nu": quarters,
        "by_delta": quarters if two_sided else {},
        "replies_asked": 96,
    }


def judged(rng: np.random.Generator, latents: pl.DataFrame) -> pl.DataFrame:
    """Totals of 16 live latents; the last has no similar texts."""
    chosen = latents.filter(~pl.col("dead"))["latent"].sort().gather_every(3).head(16)
    totals = {f"total_{kind}": rng.uniform(0.5, 0.9, len(chosen)) for kind in ("random", "similar")}
    table = pl.DataFrame({"latent": chosen.cast(pl.UInt32), **totals})
    last = pl.int_range(pl.len()) == pl.len() - 1
    return table.with_columns(total_similar=pl.when(~last).then("total_similar"))
