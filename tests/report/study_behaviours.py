"""Made-up tables of the evidence on planted behaviours, as far as the report reads them."""

from pathlib import Path

import numpy as np
import polars as pl

BEHAVIOURS = ("refuse-cooking", "new-name", "french-animals", "false-capital", "trigger-phrase", "closing-habit")
CALLED = "diff-sae"
"""The dictionary some of whose latents are called chat-specific."""
GENERATED = ("best", "none", "mean-difference", "random-0")


def on_behaviours(rng: np.random.Generator, folder: Path, answers: pl.DataFrame, subjects: dict[str, float]) -> None:
    """All tables of one evidence step; a subject's strength is told beside its name."""
    folder.mkdir(parents=True, exist_ok=True)
    effects(rng, answers, subjects).write_parquet(folder / "behaviours.parquet")
    edited = [name for name in subjects if name != "none" and "random" not in name]
    collateral(rng, edited).write_parquet(folder / "collateral.parquet")
    read = edited + (["kl"] if "none" in subjects else [])
    detection(rng, answers, {name: subjects.get(name, 0.5) for name in read}).write_parquet(
        folder / "detection.parquet"
    )


def effects(rng: np.random.Generator, answers: pl.DataFrame, subjects: dict[str, float]) -> pl.DataFrame:
    """behaviours.parquet: removing lowers the log-probability by about the subject's strength, adding raises it."""
    rows = []
    scored = answers.with_row_index("prompt_row").filter(
        (pl.col("kind") == "held-out") & (pl.col("use") == "score") & pl.col("present_chat")
    )
    for subject, strength in subjects.items():
        for edit_, sign, level in (("remove", -1, -0.3), ("add", 1, -3.0)):
            for row, behaviour in scored.select("prompt_row", "behaviour").iter_rows():
                share = 1 - BEHAVIOURS.index(behaviour) / 6
                change = 0.0 if subject == "none" else sign * strength * 2 * share + rng.normal(0, 0.04)
                generated = subject in GENERATED
                rows.append({
                    "behaviour": behaviour, "subject": subject, "edit": edit_, "prompt": row,
                    "present": (edit_ == "remove") == (strength * share < 0.4) if generated else None,
                    "logprob": level + change, "tokens": 6, "answer": "text" if generated else None,
                })  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"prompt": pl.UInt32, "logprob": pl.Float32, "present": pl.Boolean})


def collateral(rng: np.random.Generator, subjects: list[str]) -> pl.DataFrame:
    """collateral.parquet: two conversations."""
    rows = [
        {"behaviour": behaviour, "subject": subject, "edit": edit, "conversation": conversation, "tokens": 20,
         "kl": float(20 * rng.uniform(0, 0.1))}
        for behaviour in BEHAVIOURS for subject in subjects for edit in ("remove", "add") for conversation in (3, 8)
    ]  # fmt: skip
    schema = {"conversation": pl.UInt32, "tokens": pl.UInt32}
    return pl.DataFrame(rows, schema_overrides=schema)


def detection(rng: np.random.Generator, answers: pl.DataFrame, subjects: dict[str, float]) -> pl.DataFrame:
    """detection.parquet: a prompt that shows the behaviour scores higher by the subject's strength, four spreads."""
    scored = answers.with_row_index("number").filter(
        (pl.col("use") == "score") & ((pl.col("kind") == "held-out") == pl.col("present_chat"))
    )
    rows = []
    for subject, strength in subjects.items():
        for number, behaviour, shows in scored.select("number", "behaviour", "present_chat").iter_rows():
            chat, base = 4 * strength * shows + rng.normal(), rng.normal()
            rows.append({
                "behaviour": behaviour, "subject": subject, "prompt": number, "shows": shows, "score": chat - base,
                "chat": chat, "base": base, "threshold": 2 * strength, "readings": 5,
            })  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"prompt": pl.UInt32, "readings": pl.UInt32})
