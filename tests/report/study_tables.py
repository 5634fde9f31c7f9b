"""Made-up tables beside the latent table, as far as the report reads them."""

import numpy as np
import polars as pl
import torch

from crossdiff.attribution.comparisons import Value, below, correlations, overlap, spread
from crossdiff.attribution.overall import BALANCED, COMPARISONS
from crossdiff.attribution.tables import TWINS

PLACES = (("start", "user", 0, "<user>"), ("user", "assistant", 0, "\n"), ("user", "assistant", 1, "Ass"),
          ("assistant", "end", 0, "<end>"))  # fmt: skip


def comparisons(rng: np.random.Generator, table: pl.DataFrame, kind: str) -> pl.DataFrame:
    """comparisons.parquet of a made-up latent table."""
    live = table.filter(~pl.col("dead"))
    column = {name: torch.tensor(live[name].cast(pl.Float64).to_numpy()) for name in live.columns if name != "class"}
    weights = {"frequency": column["frequency"], "activation": 2 * column["frequency"]}
    values: list[Value] = below("nu_activation_below", column["nu_activation"], **weights)
    values += correlations("nu_activation", "frequency", "well-posed", column["nu_activation"], column["frequency"])
    if kind == "crosscoder":
        nus = ("nu_reconstruction", "nu_error")
        values += below("nu_reconstruction_and_error_below", *(column[nu] for nu in nus), **weights)
        for side, middle in (("cosine", 0.9), ("enc_cosine", 0.3)):
            for name, count in (("chat-only", 20), ("shared", 200), ("other", 30), ("random pairs", 10_000)):
                centre = 0.0 if name == "random pairs" else middle
                values += spread(side, name, torch.tensor(rng.normal(centre, 0.05, count).clip(-1, 1)))
        values.append(Value("delta_norm_highest", "alive", None, float(live["delta_norm"].sort()[-1]), live.height))
        of_class = {name: torch.tensor((live["class"] == name).to_numpy()) for name in ("chat-only", "shared")}
        for nu in nus:
            values += correlations("delta_norm", nu, "well-posed", column["delta_norm"], column[nu])
            values += correlations(nu, "frequency", "well-posed", column[nu], column["frequency"])
            own, shared = (column[nu][of_class[name]] for name in ("chat-only", "shared"))
            values += overlap(nu, "chat-only", own, shared)
            values.append(Value(f"{nu}_undefined", "chat-only", None, 3.0, len(own) + 3))
            values += spread(nu, "chat-only", own)
            values += spread(nu, BALANCED, torch.cat([own, shared[: len(own)]]))
            values += overlap(nu, "highest delta_norm", column[nu][:20], shared)
    return pl.DataFrame(values, schema=COMPARISONS, orient="row")


def slots(rng: np.random.Generator, table: pl.DataFrame) -> pl.DataFrame:
    """template.parquet: the template share of each live latent, divided among the places."""
    rows = []
    for latent, share in table.filter(pl.col("template_share") > 0).select("latent", "template_share").iter_rows():
        for place, part in zip(PLACES, rng.dirichlet(np.ones(len(PLACES))), strict=True):
            rows.append((latent, 5, share * part, 0.1, *place))
    schema = {
        "latent": pl.UInt32, "active": pl.Int64, "share": pl.Float32, "rate": pl.Float32, "before": pl.String,
        "after": pl.String, "place": pl.UInt8, "token": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def twins(rng: np.random.Generator, name: str) -> pl.DataFrame:
    """twins.parquet: six pairs and their control of the L1 crosscoder, none of others; one divergence is undefined."""
    rows = []
    for kind, middle in (("twin", 0.3), ("false", 0.05)) if name == "crosscoder-l1" else ():
        for pair in range(6):
            shares = rng.uniform(0.5 * middle, 1.5 * middle, 2).tolist()
            divergence = None if pair == 5 else 1 - 2 * middle
            rows.append((kind, pair, 100 + pair, 0.95, divergence, *shares, 50, 40, 12, 10, 6))
    return pl.DataFrame(rows, schema=TWINS, orient="row")
