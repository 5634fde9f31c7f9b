"""The study's rule for crosscoders, on arrays and on tables."""

import numpy as np
import polars as pl

from crossdiff.attribution.specific import by_pair

RECONSTRUCTION = [0.4, 0.4, 0.6, 0.1, -0.4, -0.6, float("nan")]
ERROR = [0.1, 0.3, 0.1, -4.5, -0.1, 0.1, 0.0]


def test_both_ratios_must_be_near_0_from_either_side() -> None:
    wanted = [True, False, False, False, True, False, False]
    assert by_pair(np.array(RECONSTRUCTION), np.array(ERROR)).tolist() == wanted
    table = pl.DataFrame({"r": RECONSTRUCTION, "e": ERROR})
    assert table.select(by_pair(pl.col("r"), pl.col("e"))).to_series().to_list() == wanted
