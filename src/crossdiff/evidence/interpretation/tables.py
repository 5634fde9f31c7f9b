"""What was asked and answered as tables and as numbers for the record."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from crossdiff.evidence.interpretation.activity import Texts
from crossdiff.evidence.interpretation.ask import Answered, Question
from crossdiff.evidence.interpretation.choose import Chosen
from crossdiff.evidence.interpretation.sampling import GROUPS, SILENT
from crossdiff.evidence.interpretation.scores import Verdicts, numbers, shares, summary

VERDICTS: dict[str, Any] = {
    "latent": pl.UInt32, "group": pl.String, "row": pl.UInt32, "first": pl.UInt32, "activity": pl.Float32,
    "text": pl.String, "said": pl.Boolean,
}  # fmt: skip
NUMBERS = (*GROUPS, *(f"{name}_{kind}" for name in ("total", "chance") for kind in SILENT))
LATENTS: dict[str, Any] = {
    "latent": pl.UInt32, "by_nu": pl.UInt8, "by_delta": pl.UInt8, "explanation": pl.String, "malformed": pl.UInt32,
    **dict.fromkeys(NUMBERS, pl.Float64),
    **{f"total_{kind}_{end}": pl.Float64 for kind in SILENT for end in ("low", "high")},
}  # fmt: skip


def verdict_table(asked: Sequence[tuple[Chosen, Question, Answered]], texts: Texts) -> pl.DataFrame:
    """One row a judged text: ``said`` is null where the reply was malformed or nothing was asked."""
    rows = [
        {
            "latent": chosen.latent,
            "group": group,
            "row": int(texts.row_C[number]),
            "first": int(texts.first_C[number]),
            "activity": chosen.active[number],
            "text": text,
            "said": answered.verdicts.get(number),
        }
        for chosen, question, answered in asked
        for group, number, text in question.judged
    ]
    return pl.DataFrame(rows, schema=VERDICTS)


def of_table(table: pl.DataFrame) -> Verdicts:
    """The verdicts of a table as arrays."""
    said = table.drop_nulls("said")
    groups = said["group"].replace_strict(list(GROUPS), range(len(GROUPS)), return_dtype=pl.Int64)
    return Verdicts(*(column.to_numpy() for column in (said["latent"], said["row"], groups, said["said"])))


def latent_table(
    asked: Sequence[tuple[Chosen, Question, Answered]], verdicts: Verdicts, resamples: int, seed: int
) -> pl.DataFrame:
    """One row a latent: its explanation, accuracy by group, and totals with intervals over its rows."""
    rows = []
    for chosen, _, answered in asked:
        own = verdicts.of(verdicts.latent_V == chosen.latent)
        row: dict[str, Any] = {
            "latent": chosen.latent,
            "by_nu": chosen.by_nu,
            "by_delta": chosen.by_delta,
            "explanation": answered.explanation,
            "malformed": answered.malformed,
        }
        found = numbers(shares(own, np.ones((1, len(own.yes_V)))))
        row |= {name: None if np.isnan(found[name][0]) else float(found[name][0]) for name in NUMBERS}
        for name, interval in summary(own, resamples, seed).items():
            if name.startswith("total_"):
                row |= {f"{name}_{end}": interval[end] for end in ("low", "high")}
        rows.append(row)
    return pl.DataFrame(rows, schema=LATENTS)


def results(asked: Sequence[tuple[Chosen, Question, Answered]], verdicts: Verdicts, resamples: int, seed: int) -> Any:
    """Numbers of the record: over all latents, and by quarter of ν and of Δ_norm."""
    out: dict[str, Any] = {
        "latents": len(asked),
        "texts": sum(len(question.judged) for _, question, _ in asked),
        "judged": len(verdicts.yes_V),
        "malformed": {
            "explanations": sum(answered.explanation is None for _, _, answered in asked),
            "verdicts": sum(answered.malformed for _, _, answered in asked),
        },
        "overall": summary(verdicts, resamples, seed),
    }
    for name in ("by_nu", "by_delta"):
        out[name] = {}
        for quarter in range(4):
            latents = [chosen.latent for chosen, _, _ in asked if getattr(chosen, name) == quarter]
            found = summary(verdicts.of(np.isin(verdicts.latent_V, latents)), resamples, seed)
            if found:
                out[name][str(quarter + 1)] = found
    return out
