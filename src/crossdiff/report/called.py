"""What a latent was called, beside its numbers."""

from collections.abc import Sequence

import polars as pl

from crossdiff.evidence.calls.honesty import CALLS as KINDS

TESTED = ("nu_centred", "nu_centred_base", "delta_fitted", "separation_difference")
"""Statistics of the calls that stand in their table with an interval."""


def with_calls(latents: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """The latent table with what was called: call, upheld, q, reappears, agreed, group, and the statistic that was
    tested (tested, tested_low, tested_high, and its name tested_by); null or missing where not known.

    ``q`` is that of the call, of a latent that is called nothing that of the chat-specific call; ``reappears`` the
    share of the other seeds that have the latent; ``agreed`` what more than half of all seeds call it.
    """
    named = {
        "call": "call", "upheld": "upheld", "reappears": "reappears", "agreed": "consensus_call", "group": "consensus",
    }  # fmt: skip
    types = {"upheld": pl.Boolean, "agreed": pl.String, "tested_by": pl.String}
    kept = {name: pl.col(column) for name, column in named.items() if column in calls.columns}
    own = {call: f"q_{call.replace('-', '_')}" for call in KINDS}
    known = {call: pl.col(column) for call, column in own.items() if column in calls.columns}
    if known:
        of_call = [pl.when(pl.col("call") == call).then(q) for call, q in known.items()]
        kept["q"] = pl.coalesce(*of_call, *(q for call, q in known.items() if call == "chat-specific"))
    if tested := [name for name in TESTED if name in calls.columns]:
        kept |= statistic(tested)
    blank = {name: pl.lit(None, kind) for name, kind in types.items() if name not in kept}
    table = calls.select(pl.col("latent").cast(latents["latent"].dtype), **kept, **blank)
    return latents.join(table, on="latent", how="left")


def statistic(tested: Sequence[str]) -> dict[str, pl.Expr]:
    """What a latent's call, or else the chat-specific one, was tested by, of the columns that are there."""
    of_base = pl.col("call") == "base-specific"
    by = pl.lit(tested[0])
    if "separation_difference" in tested:
        by = pl.lit("separation_difference")
    elif "nu_centred_base" in tested:
        larger = pl.col("nu_centred_base") > pl.col("nu_centred")
        turned = (pl.col("call") == "rotated") & larger
        by = pl.when(of_base | turned).then(pl.lit("nu_centred_base")).otherwise(by)
    if "delta_fitted" in tested:
        by = pl.when(pl.col("call") == "rescaled").then(pl.lit("delta_fitted")).otherwise(by)
    columns = {"tested": {name: name for name in tested}}
    columns |= {f"tested_{end}": {name: f"{name}_{end}" for name in tested} for end in ("low", "high")}
    chosen = {
        key: pl.coalesce(*(pl.when(by == name).then(pl.col(column)) for name, column in of.items()))
        for key, of in columns.items()
    }
    return {"tested_by": pl.when(chosen["tested"].is_not_null()).then(by), **chosen}
