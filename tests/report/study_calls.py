"""Made-up calls of latents and scores on the synthetic pair, as far as the report reads them."""

from typing import Any

import numpy as np
import polars as pl

from crossdiff.config import Config


def synthetic_scores(rng: np.random.Generator, config: Config) -> pl.DataFrame:
    """scores.parquet of the synthetic benchmark, as far as the report reads it."""
    rows = []
    for world in ("pair", "null"):
        for name, recipe in config.dictionaries.items():
            criteria = ("delta_norm", "nu_pair", "nu") if recipe.models == 2 else ("nu",)
            kinds = [(None, None, score, None, None) for score in ("fve", "l0", "dead", "mcc_joint", "recovered")]
            for criterion in criteria:
                kinds += [("chat", criterion, score, "exclusive", None) for score in ("precision", "recall", "auprc")]
                kinds += [("chat", criterion, score, None, None) for score in ("called", "call_rate")]
                kinds += [("chat", criterion, "call_rate", "regated", None)]
                kinds += [("chat", criterion, "found", "chat-only", f"effect {effect}") for effect in ("0.5", "1", "2")]
                kinds += [("chat", criterion, "found", None, f"decile {decile}") for decile in range(1, 11)]
            for seed in config.seeds:
                rows += [(world, name, seed, *kind, float(rng.uniform(0.2, 0.8))) for kind in kinds]
    names = ["world", "dictionary", "seed", "side", "criterion", "score", "class", "bucket", "value"]
    return pl.DataFrame(rows, schema=names, orient="row")


def called(rng: np.random.Generator, config: Config, count: int) -> pl.DataFrame:
    """calls/<dictionary>.parquet, as far as the report reads it: no chat-specific call is upheld, some others are."""
    latent = np.arange(count)
    nu = np.random.default_rng(7).normal(0.5, 0.3, count)
    parts = []
    for seed in config.seeds:
        call = rng.choice(["none", "chat-specific", "undetermined"], count).astype(object)
        q, reappears = rng.uniform(0, 1, count), rng.uniform(0, 1, count)
        agreed = np.where((call == "chat-specific") & (latent % 4 == 1), call, None)
        call[(call == "chat-specific") & (latent % 5 == 0)] = "base-specific"
        upheld = ((call == "base-specific") & (latent % 10 == 0)).tolist()
        table = {
            "latent": pl.Series(range(count), dtype=pl.UInt32),
            "seed": pl.Series([seed] * count, dtype=pl.UInt32),
            "call": call.tolist(),
            "upheld": pl.Series(upheld if config.null_pair else [None] * count, dtype=pl.Boolean),
            "tested": nu, "tested_low": nu - 0.1, "tested_high": nu + 0.1, "tested_by": ["nu_centred"] * count,
            "consensus": pl.Series(range(count), dtype=pl.Int64),
            "q_chat_specific": q,
            "q_base_specific": 1 - q,
            "reappears": reappears.tolist() if len(config.seeds) > 1 else [None] * count,
            "consensus_call": pl.Series(agreed.tolist(), dtype=pl.String),
        }  # fmt: skip
        parts.append(pl.DataFrame(table, schema_overrides={"reappears": pl.Float64}))
    return pl.concat(parts)


def calls_results(rng: np.random.Generator, seeds: int, two_sided: bool = True, null: bool = True) -> dict[str, Any]:
    """``results`` of the calls of one dictionary, whose rate at 0.05 is not held."""
    counts = {call: rng.integers(0, 20, seeds).tolist() for call in ("chat-specific", "base-specific", "undetermined")}
    upheld = {"upheld": {call: [0] * seeds for call in counts if call != "undetermined"}} if null else {}
    strict = {"chat-specific": {"nulls": 99, "smallest_p": 0.01, "least_calls": [30] * seeds}} if null else None
    check = {"source": "synthetic pair", "criterion": "calibrated", "call": "chat-specific", "seed": [0, 1, 2]}
    seen = {"called": [10, 12, 9], "unmatched": [0, 1, 0], "recall": [0.5, None, 0.7]}
    index = {"mean": 0.2, "n": 2} if seeds == 2 else {"mean": 0.2, "low": -0.1, "high": 0.5, "n": seeds}
    stability: dict[str, Any] = {
        "calibrated": {
            "jaccard": index,
            "jaccard_chance": {"mean": 0.01, "n": 2},
            "overlap": None,
            "in_most": 2,
            "in_most_chance": {"mean": 0.4, "low": 0, "high": 1, "n": 9},
        }
    }
    named = {"call": "chat-specific", "pair": rng.integers(2, 9, seeds).tolist(), "null": [4]}
    criteria = ["nu_0.3", *(["nu_pair"] if two_sided else []), "calibrated on the synthetic null"]
    return {
        "kind": "crosscoder", "q": 0.1, "null_tune": [named | {"criterion": name} for name in criteria] if null else [],
        "distinct": {"calibrated": dict(counts), "nu_0.3": {"chat-specific": [0] * seeds}}, "features": [30] * seeds,
        "ranks": [
            {"source": "synthetic null", "call": "chat-specific", "level": 0.01, "excess": [0.0, 2.0, None]},
            {"source": "synthetic null", "call": "chat-specific", "level": 0.05, "excess": [0.9, 1.1, None]},
        ],
        "counts": {"calibrated": counts, **upheld, "nu_0.3": {"chat-specific": rng.integers(0, 9, seeds).tolist()}},
        "power": {"chat-specific": {"nulls": 999, "smallest_p": 0.001, "least_calls": [3] * seeds}},
        "power_upheld": strict,
        "honesty": [
            check | seen | {"nominal": 0.05, "observed": [0.3, 0.2, 0.4]},
            check | seen | {"nominal": 0.1, "observed": [0.1, 0.0, 0.05]},
            check | seen | {"nominal": None, "criterion": "nu_0.3", "observed": [0.6, 0.5, 0.7]},
        ],
        "consensus": None if seeds == 1 else [{"0": 7, "1": 41}, {"0": 9, "1": 3}],
        "stability": {"refused": "one seed"} if seeds == 1 else stability,
    }  # fmt: skip
