"""Codes of one batch, sparse or dense, and the products a training step needs of them.

Both classes give the same results. Sparse work grows with the number of active entries, dense work with
batch × F but at the speed of matrix products; `DENSE_ABOVE` is where they cross.

Shapes: B tokens, F latents, I = models × width, N active entries.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, linear

from crossdiff.dictionaries import compiled

DENSE_ABOVE = 0.06
"""Share of active entries above which dense products are faster (measured with one CPU thread, bf16: 0.06–0.07)."""


class Pullback(NamedTuple):
    """Gradients that reach the latents' own parameters."""

    encoder_FI: Tensor
    encoder_bias_F: Tensor
    decoder_FI: Tensor
    sums_2F: Tensor | None = None
    """Of each latent: sum of the squares of these, and product of the decoder's gradient with the decoder's row, where
    they were learnt on the way."""

    @property
    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """All but the sums."""
        return self[:3]


class Codes(Protocol):
    """f [B, F] in some form."""

    @property
    def active(self) -> int | Tensor:
        """Entries above 0."""

    def error(self, x_BI: Tensor, decoder_FI: Tensor, bias_I: Tensor) -> Tensor:
        """x − (f · W + b), [B, I] fp32."""

    def total(self) -> Tensor:
        """Σ_B f, [F] fp32."""

    def fired(self) -> Tensor:
        """Latents active anywhere in the batch, [F] bool."""

    def pull(self, decoder_FI: Tensor, delta_BI: Tensor, input_BI: Tensor, charge_F: Tensor | None) -> Pullback:
        """Gradients for ∂loss/∂x̂ = ``delta``, and ∂loss/∂f = ``charge`` besides, where f > 0.

        ``delta`` and the encoder's ``input`` come in the precision of the products.
        """


@dataclass(frozen=True)
class SparseCodes:
    """Only the active entries, sorted by flat index."""

    token_N: Tensor
    latent_N: Tensor
    value_N: Tensor
    tokens: int
    latents: int

    @staticmethod
    def of(flat_N: Tensor, value_N: Tensor, tokens: int, latents: int) -> "SparseCodes":
        """From flat indices (token · F + latent), ascending."""
        token_N = torch.div(flat_N, latents, rounding_mode="floor")
        return SparseCodes(token_N, flat_N - token_N * latents, value_N, tokens, latents)

    @property
    def active(self) -> int:
        return len(self.value_N)

    def error(self, x_BI: Tensor, decoder_FI: Tensor, bias_I: Tensor) -> Tensor:
        start_B = _starts(self.token_N, self.tokens)
        if compiled.serve(decoder_FI):
            from crossdiff.dictionaries.compiled import passes

            return passes.error(start_B, self.latent_N, self.value_N, decoder_FI, bias_I, x_BI)
        rebuilt_BI = embedding_bag(self.latent_N, decoder_FI, start_B[:-1], mode="sum", per_sample_weights=self.value_N)
        return x_BI - (rebuilt_BI + bias_I)

    def total(self) -> Tensor:
        order_N, start_F = self._by_latent
        return _segment_sum(self.value_N.index_select(0, order_N), start_F)

    def fired(self) -> Tensor:
        return self._by_latent[1].diff() > 0

    def pull(self, decoder_FI: Tensor, delta_BI: Tensor, input_BI: Tensor, charge_F: Tensor | None) -> Pullback:
        order_N, start_F = self._by_latent
        if compiled.serve(decoder_FI):
            from crossdiff.dictionaries.compiled import passes

            if charge_F is None:
                charge_F = decoder_FI.new_zeros(self.latents)
            given = order_N, start_F, self.token_N, self.value_N, decoder_FI, delta_BI, input_BI, charge_F
            return Pullback(*passes.pull(*given))
        delta_BI, input_BI = delta_BI.float(), input_BI.float()
        token_N, value_N = self.token_N.index_select(0, order_N), self.value_N.index_select(0, order_N)
        gradient_N = _chosen_products(decoder_FI, delta_BI, start_F, token_N)
        if charge_F is not None:
            gradient_N = gradient_N + charge_F.index_select(0, self.latent_N.index_select(0, order_N))
        bags = start_F[:-1]
        return Pullback(
            embedding_bag(token_N, input_BI, bags, mode="sum", per_sample_weights=gradient_N),
            _segment_sum(gradient_N, start_F),
            embedding_bag(token_N, delta_BI, bags, mode="sum", per_sample_weights=value_N),
        )

    @cached_property
    def _by_latent(self) -> tuple[Tensor, Tensor]:
        """Order of the entries by (latent, token), and where each latent starts [F + 1]."""
        if compiled.serve(self.latent_N):
            from crossdiff.dictionaries.compiled import passes

            return passes.by_latent(self.latent_N, self.latents)
        latent_N, order_N = self.latent_N.sort(stable=True)
        return order_N, _starts(latent_N, self.latents)


@dataclass(frozen=True)
class DenseCodes:
    """f as a matrix in the precision of the products (bf16 or fp32); sums are fp32."""

    value_BF: Tensor
    active: int | Tensor

    def decode(self, decoder_FI: Tensor) -> Tensor:
        """f · W, [B, I] fp32."""
        return torch.mm(self.value_BF, decoder_FI.to(self.value_BF.dtype)).float()

    def error(self, x_BI: Tensor, decoder_FI: Tensor, bias_I: Tensor) -> Tensor:
        return x_BI - (self.decode(decoder_FI) + bias_I)

    def total(self) -> Tensor:
        return self._total

    def fired(self) -> Tensor:
        return self._total > 0

    @cached_property
    def _total(self) -> Tensor:
        return _column_sum(self.value_BF)

    def pull(self, decoder_FI: Tensor, delta_BI: Tensor, input_BI: Tensor, charge_F: Tensor | None) -> Pullback:
        kind = self.value_BF.dtype
        delta_BI, input_BI = delta_BI.to(kind), input_BI.to(kind)
        gradient_BF = linear(delta_BI, decoder_FI.to(kind), None if charge_F is None else charge_F.to(kind))
        gradient_BF = torch.ops.aten.threshold_backward(gradient_BF, self.value_BF, 0)
        return Pullback(
            torch.mm(gradient_BF.t(), input_BI).float(),
            _column_sum(gradient_BF),
            torch.mm(self.value_BF.t(), delta_BI).float(),
        )


def _starts(sorted_N: Tensor, groups: int) -> Tensor:
    """Where each of the groups 0 … groups − 1 starts in a sorted list, and its end: [groups + 1] int64."""
    return torch.searchsorted(sorted_N, torch.arange(groups + 1, device=sorted_N.device))


def _column_sum(value_BF: Tensor) -> Tensor:
    """Σ_B [F] fp32; on a CPU, where reductions of bf16 matrices are slow, as a product with ones."""
    if value_BF.is_cuda:  # where such a product may be split, and its parts added in bf16
        return value_BF.sum(0, dtype=torch.float32)
    return torch.mm(value_BF.new_ones(1, len(value_BF)), value_BF)[0].float()


def _segment_sum(value_N: Tensor, start_F: Tensor) -> Tensor:
    """Sum of each segment [F], in a fixed order."""
    return torch.segment_reduce(value_N, "sum", offsets=start_F)


def _chosen_products(decoder_FI: Tensor, delta_BI: Tensor, start_F: Tensor, token_N: Tensor) -> Tensor:
    """⟨W_j, δ_b⟩ for the entries (j, b) of a sparse pattern, latent by latent: a latent's row stays in the cache."""
    with warnings.catch_warnings():  # that sparse CSR tensors are in beta
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        pattern = torch.sparse_csr_tensor(
            start_F, token_N, token_N.new_zeros(len(token_N), dtype=torch.float32),
            size=(len(decoder_FI), len(delta_BI)), check_invariants=False,
        )  # fmt: skip
    return torch.sparse.sampled_addmm(pattern, decoder_FI, delta_BI.t(), beta=0).values()
