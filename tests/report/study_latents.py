"""Latent tables of the made-up study, their examples and phrases, and the curves of their training."""

from typing import Any

import numpy as np
import polars as pl

WORDS = [
    " the",
    " chat",
    " model",
    "\n",
    " says",
    " no",
    "<end>",
    " & so",
    ",",
    " <b>",
    " it",
    " goes",
    "é",
    " I",
    " can",
    "'t",
]


def latents(rng: np.random.Generator, kind: str, count: int) -> pl.DataFrame:
    """The latent table: most shared, a few of the chat model's own, some dead."""
    own = rng.random(count) < 0.06
    dead = rng.random(count) < 0.1
    activation = np.where(own, rng.normal(0.1, 0.1, count), rng.normal(0.95, 0.12, count))
    table: dict[str, Any] = {
        "latent": np.arange(count, dtype=np.uint32),
        "dead": dead,
        "frequency": np.where(dead, 0, 10 ** rng.uniform(-4, -1, count)),
        "template_share": np.where(own, rng.beta(1, 1, count), rng.beta(0.4, 4, count)),
        "nu_activation": activation,
        "nu_activation_se": np.full(count, 0.05),
        "nu_valid": rng.random(count) < (0.6 if kind == "diff-sae" else 0.95),
    }
    chat = np.linspace(0, 1, count) * (1 - table["template_share"])  # BOS and plain text have the rest
    table |= {"user_share": 0.25 * chat, "assistant_share": 0.75 * chat}
    names: list[str | None] = [None] * count
    if kind == "crosscoder":
        delta = np.clip(np.where(own, rng.normal(0.9, 0.06, count), rng.normal(0.5, 0.07, count)), 0, 1)
        table |= {
            "delta_norm": delta,
            "nu_reconstruction": np.where(own, rng.normal(0.2, 0.15, count), rng.normal(0.9, 0.08, count)),
            "nu_error": np.where(own, rng.normal(0.1, 0.08, count), rng.normal(0.85, 0.1, count)),
        }
        lost = np.arange(count) % 29 == 0  # what the tune took away
        table |= {
            "nu_reconstruction_base": np.where(lost, 0.2, 0.9 + 0.1 * table["nu_reconstruction"]),
            "nu_error_base": np.where(lost, 0.1, 0.8 + 0.1 * table["nu_error"]),
        }
        names = [
            "chat-only" if d > 0.9 else "base-only" if d < 0.1 else "shared" if abs(d - 0.5) < 0.1 else "other"
            for d in delta
        ]
    table |= {"frequency_web": 0.5 * table["frequency"], "frequency_chat": 1.5 * table["frequency"]}
    frame = pl.DataFrame(table).with_columns(pl.Series("class", names, dtype=pl.String))
    nullable = [
        name
        for name in (
            "delta_norm",
            "nu_reconstruction",
            "nu_error",
            "nu_reconstruction_base",
            "nu_error_base",
            "nu_activation",
            "template_share",
            "user_share",
            "assistant_share",
        )
        if name in frame.columns
    ]
    return frame.with_columns(
        pl.when("dead").then(None).otherwise(pl.col(nullable)).name.keep(), pl.col("nu_valid") & ~pl.col("dead")
    )


def examples(rng: np.random.Generator, table: pl.DataFrame, rows: pl.DataFrame, called: list[int]) -> pl.DataFrame:
    """Four examples of each of ``called`` and of the 40 latents of lowest ν, each in a bin of its own.

    The base reads half of it.
    """
    found = []
    live = table.filter(~pl.col("dead")).sort("nu_activation")["latent"].to_list()
    own = np.random.default_rng(1)  # of the called ones, so that those of lowest ν stay what they are
    lowest = live[:40]
    for latent, rng in [(each, rng) for each in lowest] + [(each, own) for each in live[40:] if each in called]:
        for rank in range(4):
            row = rows.row(int(rng.integers(0, rows.height)), named=True)
            position = int(rng.integers(3, 21))
            first, last = max(0, position - 16), min(24, position + 17)
            near = np.abs(np.arange(first, last) - position)
            activations = [
                float(v) if v > 0.4 else 0.0 for v in (5 - rank) * np.exp(-near / 1.5) * rng.uniform(0.5, 1, len(near))
            ]
            activations[position - first] = 5.0 - rank
            kept = [None if place == 0 and first == 0 else a for place, a in enumerate(activations)]
            found.append({
                "latent": latent, "rank": rank, "bin": 4 - rank, "among": 1 + 10 * rank,
                "row": row["row"], "position": position, "first": first,
                "source": row["source"], "behaviour": row["behaviour"],
                "tokens": [WORDS[token] for token in row["ids"][first:last]],
                "activations": kept, "activations_chat": kept,
                "activations_base": [None if a is None else a / 2 - 0.2 for a in kept],
                "half_base": -1.5 if "delta_norm" in table.columns else None,
                "half_chat": 6.5 - rank if "delta_norm" in table.columns else None,
            })  # fmt: skip
    schema = {
        "latent": pl.UInt32, "rank": pl.UInt16, "bin": pl.UInt8, "among": pl.UInt32, "row": pl.UInt32,
        "position": pl.UInt32, "first": pl.UInt32, "source": pl.String, "behaviour": pl.String,
        "tokens": pl.List(pl.String), "activations": pl.List(pl.Float32), "activations_base": pl.List(pl.Float32),
        "activations_chat": pl.List(pl.Float32), "half_base": pl.Float32, "half_chat": pl.Float32,
    }  # fmt: skip
    return pl.DataFrame(found, schema=schema)


def descriptions(table: pl.DataFrame) -> pl.DataFrame:
    """A phrase for each live latent."""
    live = table.filter(~pl.col("dead")).select("latent")
    return live.with_columns(description=pl.format("fires on 'w{}' & <b>", "latent"))


def training(rng: np.random.Generator, steps: int) -> pl.DataFrame:
    """training.parquet: curves that settle."""
    step = np.arange(1, steps + 1)
    rise = 1 - np.exp(-step / (steps / 6))
    return pl.DataFrame({
        "step": step, "loss": 2 - rise, "fve": 0.78 * rise + rng.normal(0, 0.005, steps), "l0": 30 - 20 * rise,
        "dead": 0.1 * rise, "lr": np.full(steps, 1e-3), "tokens_per_second": np.full(steps, 9e3),
    })  # fmt: skip
