"""From tables and activations to the samples that are judged: latents over the whole order by ν, and their texts."""

from dataclasses import dataclass, field

import polars as pl
import torch
from torch import Tensor

from crossdiff.activations.store import View
from crossdiff.attribution.order import chat_order
from crossdiff.dictionaries import Dictionary
from crossdiff.evidence.interpretation import sampling
from crossdiff.evidence.interpretation.activity import Texts, activity, nearest
from crossdiff.evidence.interpretation.sampling import Sample
from crossdiff.evidence.interpretation.settings import Interpretation

POOL = 3
"""Candidates looked at for each latent that is wanted: not all are active in enough rows."""
NEIGHBOURS = 5
"""Nearest latents whose texts are the similar ones."""
BATCH = 2048
"""Tokens a pass."""
ORDER = ("nu_reconstruction", "nu_error", "nu_activation")


@dataclass
class Chosen:
    """One latent with its texts."""

    latent: int
    by_nu: int
    """Quarter of the live latents' order by ν: 0 the most chat-specific."""
    by_delta: int | None
    """Quarter by Δ_norm, 3 the most chat-only; None where it is not defined."""
    sample: Sample = field(default_factory=Sample)
    active: dict[int, float] = field(default_factory=dict)
    """Largest activity in each of its texts."""


def order(latents: pl.DataFrame, crosscoder: bool) -> Tensor:
    """Order [F] of the latent table's rows as `chat_order` has it, over live latents; NaN for the others."""
    alive_F = torch.tensor(latents["dead"].to_list()).logical_not()
    known = latents.filter(~pl.col("dead"))
    columns = {
        name: torch.tensor(known[name].cast(pl.Float64).fill_null(float("nan")).to_list())
        for name in ORDER
        if name in known.columns
    }
    columns["nu_valid"] = torch.tensor(known["nu_valid"].fill_null(False).to_list(), dtype=torch.bool)
    order_F = torch.full((len(latents),), torch.nan, dtype=torch.float64)
    order_F[alive_F] = chat_order(columns, crosscoder)
    return order_F


def candidates(latents: pl.DataFrame, crosscoder: bool, wanted: int, generator: torch.Generator) -> list[Chosen]:
    """``POOL`` candidates for each latent wanted, in random order, as many of each quarter; ``latents`` by number."""
    by_nu_F = sampling.quarters(order(latents, crosscoder))
    delta_F = torch.full((len(latents),), torch.nan)
    if crosscoder:
        shown = pl.when(~pl.col("dead")).then(pl.col("delta_norm")).fill_null(float("nan"))
        delta_F = torch.tensor(latents.select(shown).to_series().to_list())
    by_delta_F = sampling.quarters(delta_F)
    found = []
    for quarter in range(4):
        for latent in sampling.shuffled(by_nu_F == quarter, generator)[: POOL * share(wanted, quarter)].tolist():
            delta = int(by_delta_F[latent])
            found.append(Chosen(latent, quarter, None if delta < 0 else delta))
    return found


def share(wanted: int, quarter: int) -> int:
    """How many of the latents wanted are of a quarter."""
    return (wanted + 3 - quarter) // 4


def choose(
    dictionary: Dictionary, latents: pl.DataFrame, view: View, texts: Texts, settings: Interpretation
) -> list[Chosen]:
    """Latents with all their texts; fewer than wanted where too few are active in enough rows."""
    generator = torch.Generator().manual_seed(settings.seed)
    pool = candidates(latents, dictionary.kind == "crosscoder", settings.latents, generator)
    if not pool:
        return []
    shown_C = sampling.halves(texts.row_C, generator)
    own_CS = activity(dictionary, torch.tensor([one.latent for one in pool]), view.blocks(BATCH), texts)
    left = [share(settings.latents, quarter) for quarter in range(4)]
    columns = []
    for column, one in enumerate(pool):
        if left[one.by_nu]:
            sample = sampling.draw(
                own_CS[:, column], texts.row_C, shown_C, settings.examples, settings.texts, generator
            )
            if sample is not None:
                one.sample, left[one.by_nu] = sample, left[one.by_nu] - 1
                columns.append(column)
    kept = [pool[column] for column in columns]
    if kept:
        alive_F = torch.tensor(latents["dead"].to_list()).logical_not()
        near_SK = nearest(dictionary, torch.tensor([one.latent for one in kept]), alive_F, NEIGHBOURS)
        add_similar(dictionary, kept, own_CS[:, columns], near_SK, view, texts, shown_C, settings.texts)
    return kept


def add_similar(
    dictionary: Dictionary,
    kept: list[Chosen],
    own_CS: Tensor,
    near_SK: Tensor,
    view: View,
    texts: Texts,
    shown_C: Tensor,
    each: int,
) -> None:
    """Give each latent its similar texts, and note how active it is on all of them; neighbours are read once."""
    latents_U, place_SK = torch.unique(near_SK, return_inverse=True)
    near_CU = activity(dictionary, latents_U, view.blocks(BATCH), texts)
    for number, one in enumerate(kept):
        own_C, judged = own_CS[:, number], one.sample.judged
        near_CK = near_CU[:, place_SK[number]]
        judged["similar"] = sampling.similar(own_C, near_CK, texts.row_C, shown_C, judged, each)
        for text in [*one.sample.explained, *(text for group in judged.values() for text in group)]:
            one.active[text] = float(own_C[text])
