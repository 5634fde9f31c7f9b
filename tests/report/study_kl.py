"""KL tables of the made-up study: a dictionary's interventions, and the models joined at other blocks."""

import numpy as np
import polars as pl

from crossdiff.config import Config


def kl(rng: np.random.Generator, factors: dict[str, float], conversations: int = 24) -> pl.DataFrame:
    """kl.parquet: each intervention's KL is about ``factor`` of the unedited one."""
    base = np.random.default_rng(7).gamma(4, 0.12, conversations)
    tokens = np.random.default_rng(8).integers(30, 90, conversations)
    rows = []
    for name, factor in factors.items():
        after = np.random.default_rng(len(name)).normal(1, 0.12, conversations)
        for positions, count, scale in (("all", tokens, 1.0), ("first9", np.full(conversations, 9), 2.5),
                                        ("later", tokens - 10, 0.7)):  # fmt: skip
            noise = after if positions == "later" else rng.normal(1, 0.12, conversations)
            for conversation in range(conversations):
                value = base[conversation] * scale * factor * noise[conversation] * count[conversation]
                rows.append(
                    {
                        "intervention": name,
                        "positions": positions,
                        "conversation": 4 * conversation,
                        "source": "chat",
                        "tokens": int(count[conversation]),
                        "kl": value,
                    }
                )
    return pl.DataFrame(rows, schema_overrides={"tokens": pl.UInt32, "conversation": pl.UInt32})


def swept(config: Config) -> pl.DataFrame:
    """evidence/layers/kl.parquet: base's stream is farther from chat's the later the models are joined."""
    rng, wanted = np.random.default_rng(10), config.evidence.layer_sweep
    assert isinstance(wanted, list)
    tables = [
        kl(rng, {"none": 0.2 + layer, "template": 0.1 + layer / 2, "chat-to-base": 1.0}).with_columns(
            layer=pl.lit(layer, dtype=pl.UInt32)
        )
        for layer in wanted
    ]
    return pl.concat(tables)


def interventions(kind: str, strength: float) -> dict[str, float]:
    """Names of a kind's interventions, and what of the KL they leave."""
    sets = {"best-nu": 1 - 0.6 * strength, "worst-nu": 0.95, "random-0": 0.9, "random-1": 0.93, "random-2": 0.91}
    if kind == "crosscoder":
        return {
            "all": 1 - 0.9 * strength,
            "all-with-bias": 1 - strength,
            "error": 0.4,
            "best-delta": 0.8,
            "worst-delta": 0.85,
            **sets,
        }
    return {"full": 1 - strength, "error": 0.35, "bias": 0.85, **sets} if kind == "diff-sae" else sets
