"""Detection before the answer: who reads what, and the table of the scores.

python -m crossdiff.evidence writes it as detection.parquet: one row a behaviour, subject and scored prompt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import normalize

from crossdiff.dictionaries import Dictionary
from crossdiff.evidence.behaviours.detection import LEAST, fit
from crossdiff.evidence.behaviours.selection import Material
from crossdiff.evidence.readings import Prompt, Reading, ends, of_directions, of_kl, of_latents
from crossdiff.evidence.streams import Site

DETECTION_SCHEMA = {
    "behaviour": pl.String, "subject": pl.String, "prompt": pl.UInt32, "shows": pl.Boolean, "score": pl.Float64,
    "chat": pl.Float64, "base": pl.Float64, "threshold": pl.Float64, "readings": pl.UInt32,
}  # fmt: skip
Candidates = tuple[Reading, np.ndarray | None]
"""Readings, and a mask [C] of those that may be chosen; None: all."""


def enough(prompts: Sequence[Prompt]) -> list[str]:
    """Behaviours with two prompts of each kind to choose on, and as many to score."""
    names = dict.fromkeys(prompt.behaviour for prompt in prompts)
    return [
        name
        for name in names
        if all(
            sum((p.behaviour, p.select, p.shows) == (name, select, shows) for p in prompts) >= LEAST
            for select in (True, False)
            for shows in (True, False)
        )
    ]


def of_dictionary(
    site: Site, dictionary: Dictionary, streams: Sequence[Tensor], called: Sequence[int] | None
) -> dict[str, Candidates]:
    """Any latent ("best"), and those called chat-specific, if any is ("called")."""
    reading = of_latents(site, dictionary, ends(streams))
    out: dict[str, Candidates] = {"best": (reading, None)}
    if called:
        allowed_F = np.zeros(reading.pair_NC.shape[1], dtype=bool)
        allowed_F[list(called)] = True
        out["called"] = reading, allowed_F
    return out


def without_dictionary(
    site: Site, streams: Sequence[Tensor], basis_CD: Tensor, seen: Mapping[str, Material]
) -> dict[str, dict[str, Candidates]]:
    """For each behaviour its mean differences of both roles, the principal components, and the KL of the models."""
    last_NPLD = ends(streams)
    same: dict[str, Candidates] = {
        "pca": (of_directions(site, basis_CD, last_NPLD), None),
        "kl": (of_kl(site, streams), None),
    }
    out = {}
    for name, what in seen.items():
        both_VD = normalize(torch.stack([what.difference_D, what.prompt_difference_D]), dim=1)
        out[name] = {"mean-difference": (of_directions(site, both_VD, last_NPLD), None)} | same
    return out


def table(
    prompts: Sequence[Prompt], candidates: Mapping[str, Mapping[str, Candidates]], count: int
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Choose and set thresholds on the select prompts, score the others; and what was chosen, for the record.

    ``candidates`` are, for each behaviour and subject, read off all prompts in their order.
    """
    rows: list[dict[str, Any]] = []
    told: dict[str, Any] = {}
    for name in enough(prompts):
        index = [number for number, prompt in enumerate(prompts) if prompt.behaviour == name]
        select = np.array([prompts[number].select for number in index])
        shows = np.array([prompts[number].shows for number in index])
        for subject, (reading, allowed_C) in candidates.get(name, {}).items():
            added, pair, base = (
                part[index].cpu().numpy() for part in (reading.added_NC, reading.pair_NC, reading.base_NC)
            )
            detector = fit(added[select], shows[select], count, allowed_C)
            told.setdefault(name, {})[subject] = {"readings": detector.columns, "threshold": detector.threshold}
            scores = [detector.score(part[~select]).tolist() for part in (added, pair, base)]
            numbers = [number for number in index if not prompts[number].select]
            rows += [
                {
                    "behaviour": name, "subject": subject, "prompt": prompts[number].number,
                    "shows": prompts[number].shows, "score": score, "chat": chat, "base": alone,
                    "threshold": detector.threshold, "readings": len(detector.columns),
                }
                for number, score, chat, alone in zip(numbers, *scores, strict=True)
            ]  # fmt: skip
    return pl.DataFrame(rows, schema=DETECTION_SCHEMA), told
