"""Principal components of chat − base: what a few fixed directions say of the difference, with no dictionary.

Shapes: N tokens, L models, D width, C components.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossdiff.activations.store import View

TOKENS = 16_384
"""Training tokens that components are fitted to, at most."""


def difference(x_TLD: Tensor) -> Tensor:
    """h_chat − h_base [..., D] float32 of streams [..., L, D]."""
    return x_TLD[..., 1, :].float() - x_TLD[..., 0, :].float()


@dataclass(frozen=True, eq=False)
class Components:
    """A mean difference and the largest principal components about it."""

    mean_D: Tensor
    basis_CD: Tensor
    """Orthonormal, largest first."""

    def reconstruct(self, delta_ND: Tensor) -> Tensor:
        """Mean plus what the components hold of each difference, [N, D] float32."""
        return self.mean_D + (delta_ND - self.mean_D) @ self.basis_CD.T @ self.basis_CD


def principal(delta_ND: Tensor, most: int) -> Components:
    """The ``most`` largest components of these differences, or as many as they have.

    What is smaller than the rounding of the differences themselves, mean included, is not a component.
    """
    mean_D = delta_ND.mean(0)
    _, size, basis_CD = torch.linalg.svd(delta_ND - mean_D, full_matrices=False)
    rounding = 4 * torch.finfo(delta_ND.dtype).eps * torch.linalg.vector_norm(delta_ND)
    return Components(mean_D, basis_CD[:most][: int((size > rounding).sum())])


def fitted(view: View, most: int, device: str | torch.device) -> Components:
    """Components of training tokens, taken at even distances."""
    index_N = torch.linspace(0, view.tokens - 1, min(view.tokens, TOKENS), dtype=torch.float64).long()
    return principal(difference(view.gather(index_N, device)), most)
