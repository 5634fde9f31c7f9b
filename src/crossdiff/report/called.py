"""What a latent was called, beside its numbers."""

import polars as pl

from crossdiff.evidence.calls.honesty import CALLS as KINDS

TESTED = ("tested", "tested_low", "tested_high", "tested_by")
"""The statistic behind the call, its interval, and the columns it is the larger of."""


def with_calls(latents: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """The latent table with what was called: call, upheld, q, reappears, agreed, group, and `TESTED`; null or
    missing where not known.

    ``q`` is that of the call, of a latent that is called nothing that of the chat-specific call; ``reappears`` the
    share of the other seeds that have the latent; ``agreed`` what more than half of all seeds call it.
    """
    named = {
        "call": "call", "upheld": "upheld", "reappears": "reappears", "agreed": "consensus_call", "group": "consensus",
        **dict(zip(TESTED, TESTED, strict=True)),
    }  # fmt: skip
    types = {"upheld": pl.Boolean, "agreed": pl.String, "tested_by": pl.String}
    kept = {name: pl.col(column) for name, column in named.items() if column in calls.columns}
    own = {call: f"q_{call.replace('-', '_')}" for call in KINDS}
    known = {call: pl.col(column) for call, column in own.items() if column in calls.columns}
    if known:
        of_call = [pl.when(pl.col("call") == call).then(q) for call, q in known.items()]
        kept["q"] = pl.coalesce(*of_call, *(q for call, q in known.items() if call == "chat-specific"))
    blank = {name: pl.lit(None, kind) for name, kind in types.items() if name not in kept}
    table = calls.select(pl.col("latent").cast(latents["latent"].dtype), **kept, **blank)
    return latents.join(table, on="latent", how="left")
