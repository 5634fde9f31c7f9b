"""Which latents are judged, by which texts: no row is both shown to the explainer and judged.

Shapes: C texts, R rows, K neighbours, N texts of a sample.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from crossdiff.attribution.maxima import first_of_each

THIRDS = ("weak", "middle", "strong")
"""Thirds of the texts on which a latent is active, by its largest activity there (the study's quantiles 1 to 3)."""
SILENT = ("random", "similar")
"""Texts on which it is not active: any, or those on which its nearest latents are most active."""
GROUPS = (*THIRDS, *SILENT)


@dataclass(frozen=True)
class Sample:
    """Texts of one latent, by number."""

    explained: list[int] = field(default_factory=list)
    """Texts that the explainer sees, the most active first."""
    judged: dict[str, list[int]] = field(default_factory=dict)
    """Texts that the scorer sees, by `GROUPS`."""


def halves(row_C: Tensor, generator: torch.Generator) -> Tensor:
    """Texts (bool [C]) of the half of the rows that the explainer may see."""
    rows, which_C = torch.unique(row_C, return_inverse=True)
    chosen_R = torch.zeros(len(rows), dtype=torch.bool)
    chosen_R[torch.randperm(len(rows), generator=generator)[: (len(rows) + 1) // 2]] = True
    return chosen_R[which_C]


def one_a_row(texts_N: Tensor, row_C: Tensor) -> Tensor:
    """The first of the texts in each row, in their order."""
    return texts_N[first_of_each(row_C[texts_N])]


def shuffled(mask_C: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers of the marked texts, int64, in random order."""
    found_N = mask_C.nonzero().flatten()
    return found_N[torch.randperm(len(found_N), generator=generator)]


def thirds(active_C: Tensor, among_C: Tensor, row_C: Tensor, each: int, generator: torch.Generator) -> list[list[int]]:
    """``each`` texts, at random and of different rows, from each third of those on which the latent is active.

    The weakest third first; [] if there are too few rows.
    """
    found_N = one_a_row(shuffled(among_C & (active_C > 0), generator), row_C)
    if len(found_N) < len(THIRDS) * each:
        return []
    ordered_N = found_N[torch.argsort(active_C[found_N], stable=True)]
    parts = ordered_N.tensor_split(len(THIRDS))
    return [part[torch.randperm(len(part), generator=generator)[:each]].tolist() for part in parts]


def draw(
    own_C: Tensor, row_C: Tensor, shown_C: Tensor, examples: int, texts: int, generator: torch.Generator
) -> Sample | None:
    """Texts of one latent with activity ``own_C``, but for the similar ones; None if there are not enough.

    ``shown_C`` marks the texts that the explainer may see.
    """
    explained = thirds(own_C, shown_C, row_C, examples, generator)
    active = thirds(own_C, ~shown_C, row_C, texts, generator)
    if not explained or not active:
        return None
    judged = dict(zip(THIRDS, active, strict=True))
    judged["random"] = silent(own_C, row_C, ~shown_C, judged, shuffled(own_C == 0, generator), texts)
    if len(judged["random"]) < texts:
        return None
    flat = [text for part in explained for text in part]
    return Sample(sorted(flat, key=lambda text: -float(own_C[text])), judged)


def similar(own_C: Tensor, near_CK: Tensor, row_C: Tensor, shown_C: Tensor, judged: dict[str, list[int]],
            texts: int) -> list[int]:  # fmt: skip
    """At most ``texts`` texts on which the latent is silent and its neighbours are most active.

    ``near_CK`` is the neighbours' activity; each counts relative to its own largest.
    """
    relative_C = (near_CK / near_CK.amax(0).clamp(min=1e-12)).amax(1)
    order_N = torch.argsort(relative_C, descending=True, stable=True)
    order_N = order_N[relative_C[order_N] > 0]
    return silent(own_C, row_C, ~shown_C, judged, order_N, texts)


def silent(
    own_C: Tensor, row_C: Tensor, among_C: Tensor, judged: dict[str, list[int]], order_N: Tensor, texts: int
) -> list[int]:
    """The first ``texts`` of ``order_N`` on which the latent is silent, of different rows, none of them judged yet."""
    taken = row_C[torch.tensor([text for part in judged.values() for text in part], dtype=torch.int64)]
    free_N = order_N[(own_C[order_N] == 0) & among_C[order_N] & ~torch.isin(row_C[order_N], taken)]
    return one_a_row(free_N, row_C)[:texts].tolist()


def quarters(value_N: Tensor) -> Tensor:
    """Quarter of each value by rank, 0 lowest to 3, int64; −1 where it is NaN."""
    quarter_N = torch.full((len(value_N),), -1)
    known_N = (~value_N.isnan()).nonzero().flatten()
    order_N = known_N[torch.argsort(value_N[known_N], stable=True)]
    for number, part in enumerate(order_N.tensor_split(4)):
        quarter_N[part] = number
    return quarter_N
