"""What needs no dictionary: the mean difference of each role, and the principal components of the differences.

Both are had from a behaviour's select prompts, like the choice of latents. As edits they are taken from chat or given
to base in the place of latents' contributions; as directions they are read off prompts (`readings`).

Shapes: R rows, T positions, L models, D width, C components, N vectors.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from crossdiff.evidence.behaviours.selection import Material
from crossdiff.evidence.components import difference, principal
from crossdiff.evidence.edits import SIGN, Direction, Edit
from crossdiff.evidence.streams import Site

COMPONENTS = 64
"""Components of which a behaviour may use a few, at most."""


class ByRole:
    """The mean difference of the prompt's positions at those, the answer's at the ones that predict it."""

    def __init__(self, site: Site, seen: Mapping[str, Material]):
        """Its one subject is "mean-difference-roles"."""
        self.site = site
        self.seen = seen
        self.subjects = ["mean-difference-roles"]

    def edit(self, rows: list[tuple[str, str]], direction: Direction) -> Edit:
        material = [self.seen[behaviour] for behaviour, _ in rows]
        answer_RD = torch.stack([each.difference_D for each in material]) * SIGN[direction]
        prompt_RD = torch.stack([each.prompt_difference_D for each in material]) * SIGN[direction]

        def apply(x_RTLD: Tensor, row_R: Tensor, answering_RT: Tensor) -> Tensor:
            kept_RT = self.site.kept(x_RTLD)
            prompt_RTD = kept_RT[..., None] * prompt_RD[row_R][:, None]
            return torch.where(answering_RT[..., None], answer_RD[row_R][:, None], prompt_RTD)

        return apply


class Components:
    """Chosen components of chat − base: the part of the difference along them, at positions of ordinary norm."""

    def __init__(self, site: Site, basis_CD: Tensor, sets: Mapping[tuple[str, str], Sequence[int]]):
        """``basis`` is orthonormal; ``sets`` maps (behaviour, subject) to components."""
        self.site, self.basis_CD, self.sets = site, basis_CD, sets
        self.subjects = list(dict.fromkeys(subject for _, subject in sets))

    def edit(self, rows: list[tuple[str, str]], direction: Direction) -> Edit:
        weight_RC = torch.zeros(len(rows), len(self.basis_CD), device=self.basis_CD.device)
        for number, row in enumerate(rows):
            weight_RC[number, list(self.sets[row])] = SIGN[direction]

        def apply(x_RTLD: Tensor, row_R: Tensor, answering_RT: Tensor) -> Tensor:
            kept_RT1 = self.site.kept(x_RTLD)[..., None]
            along_RTC = difference(x_RTLD) @ self.basis_CD.T
            return (along_RTC * weight_RC[row_R][:, None] * kept_RT1) @ self.basis_CD

        return apply


def components(site: Site, seen: Mapping[str, Material]) -> Tensor:
    """Orthonormal basis [C, D] of the largest principal components of all select prompts' differences, largest first.

    The mean is taken off before; tokens that no dictionary knows are left out. C ≤ 64, and less than their number.
    """
    delta_ND = torch.cat(
        [difference(x_TLD[site.known(x_TLD)]) for material in seen.values() for x_TLD in material.streams]
    )
    return principal(delta_ND, COMPONENTS).basis_CD


def attribute(site: Site, basis_CD: Tensor, seen: Material) -> Tensor:
    """Score [C] of every component for one behaviour: Σ_tokens ⟨u, δ⟩·⟨u, ∂ log p / ∂h_chat⟩, as of latents."""
    score_C = torch.zeros(len(basis_CD), device=basis_CD.device)
    for x_TLD, gradient_TD in zip(seen.streams, seen.gradients, strict=True):
        kept_T = site.known(x_TLD)
        score_C += ((difference(x_TLD[kept_T]) @ basis_CD.T) * (gradient_TD[kept_T] @ basis_CD.T)).sum(0)
    return score_C
