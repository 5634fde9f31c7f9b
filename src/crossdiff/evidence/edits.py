"""Edits of a stream that take a dictionary's latents, or a fixed direction, away from chat or give them to base.

An edit is a function of both models' streams, so it can be applied to a whole answer at once or at each step of
generation. Shapes: R rows, T positions, L models, D width, U latents in use, C their contributions.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from crossdiff.attribution.directions import contributions, spread, subset
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.streams import Site

Edit = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(streams x_RTLD, row numbers [R], whether a position predicts an answer token [R, T]) -> what to add [R, T, D]."""
Direction = Literal["remove", "add"]
RUNNING: dict[Direction, Literal["base", "chat"]] = {"remove": "chat", "add": "base"}
"""The model that runs on: latents are removed from chat, and added to base."""
SIGN: dict[Direction, int] = {"remove": -1, "add": 1}


class Steering(Protocol):
    """Something that can be removed from chat or added to base for a behaviour, under the name of a subject."""

    subjects: list[str]

    def edit(self, rows: list[tuple[str, str]], direction: Direction) -> Edit:
        """The edit of a batch; each row is a (behaviour, subject)."""
        ...


class Latents:
    """Chosen latents of a dictionary: h_c − Σ f_j·v_j, or h_b + Σ f_j·v_j, at every position with an ordinary norm."""

    def __init__(self, site: Site, dictionary: Dictionary, sets: dict[tuple[str, str], list[int]]):
        """``sets`` maps (behaviour, subject) to latents. Only those in use are ever encoded."""
        self.site = site
        self.sets = sets
        self.subjects = list(dict.fromkeys(subject for _, subject in sets))
        used = sorted({latent for chosen in sets.values() for latent in chosen})
        self._place = {latent: place for place, latent in enumerate(used)}
        self._part = subset(dictionary, torch.tensor(used, dtype=torch.long, device=dictionary.encoder.device))
        self._rows_CD = contributions(self._part)

    def edit(self, rows: list[tuple[str, str]], direction: Direction) -> Edit:
        weight_RU = torch.zeros(len(rows), len(self._place), device=self._rows_CD.device)
        for number, row in enumerate(rows):
            weight_RU[number, [self._place[latent] for latent in self.sets[row]]] = SIGN[direction]
        weight_RC = weight_RU.repeat(1, len(self._rows_CD) // max(1, len(self._place)))

        def apply(x_RTLD: Tensor, row_R: Tensor, answering_RT: Tensor) -> Tensor:
            f_RTU = self._part.encode(self._part.read(x_RTLD.flatten(0, 1))).unflatten(0, x_RTLD.shape[:2])
            kept_RT1 = self.site.kept(x_RTLD)[..., None]
            return (spread(self._part, f_RTU) * weight_RC[row_R][:, None] * kept_RT1) @ self._rows_CD

        return apply


class Directions:
    """One fixed direction a behaviour and subject, at the positions that predict the answer (where it was measured)."""

    def __init__(self, vectors: dict[tuple[str, str], Tensor]):
        self.vectors = vectors
        self.subjects = list(dict.fromkeys(subject for _, subject in vectors))

    def edit(self, rows: list[tuple[str, str]], direction: Direction) -> Edit:
        vector_RD = torch.stack([self.vectors[row] for row in rows]) * SIGN[direction]

        def apply(x_RTLD: Tensor, row_R: Tensor, answering_RT: Tensor) -> Tensor:
            return answering_RT[..., None] * vector_RD[row_R][:, None]

        return apply
