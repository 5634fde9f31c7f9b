"""Numbers over all latents of a seed, against plain computation from the latent tables."""

from statistics import median

import polars as pl
import pytest
from study_files import Written


def test_medians_of_nu_are_over_the_live_latents_of_a_class(planted: Written) -> None:
    for seed in planted.config.seeds:
        table = pl.read_parquet(planted.root / f"latents/crosscoder-l1-seed{seed}.parquet")
        found = planted.metrics["dictionaries"]["crosscoder-l1"]["seeds"][str(seed)]["median"]
        for nu in ("nu_reconstruction", "nu_error"):
            for name in ("chat-only", "shared"):
                values = [row[nu] for row in table.to_dicts() if not row["dead"] and row["class"] == name]
                assert found[nu][name] == pytest.approx(median(value for value in values if value is not None))
    assert "median" not in planted.metrics["dictionaries"]["diff-sae"]
