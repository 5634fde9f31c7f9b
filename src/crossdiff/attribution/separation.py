"""A measure for latents of the difference of two models, where ν is ill-posed.

A diff-SAE's direction is where the models differ, so the streams themselves need not reach along it: β_chat is then a
number near 0 and ν = β_base/β_chat anything. Instead: how well does a model's projection on the direction tell the
latent's active tokens from the others?

    ρ^m = Corr(f_j, ⟨d_j, h^m⟩) over all tokens, in [−1, 1];  separation difference = |ρ^c| − |ρ^b|

1: only the chat model moves along d_j when the latent fires; −1: only the base did (the tune took it away); 0: both do
alike, or neither. It needs no threshold on f, does not change with the scale of f, d or the streams or with a shift of
all tokens, and its denominators are spreads, which are above 0 for a latent that ever fires.

Shapes: B tokens, L models, F latents, D width, K blocks of rows.
"""

import torch
from torch import Tensor

from crossdiff.attribution.jackknife import jackknife
from crossdiff.attribution.scaling import MODELS, Products, Sums, covariance, total


class Spread:
    """Running Σ_i (⟨d_j, h^m_i⟩ − c)² of both models for each block of rows, from the streams' second moments.

    c is the projection of the first batch's mean: the mean is far larger than the spread, and would drown it in fp32.
    """

    def __init__(self, directions_FD: Tensor, blocks: int):
        """``directions_FD`` float32, raw space."""
        latents, width = directions_FD.shape
        self.directions_FD = directions_FD
        self.square_KLF = directions_FD.new_zeros(blocks, len(MODELS), latents, dtype=torch.float64)
        self._origin_LD: Tensor | None = None
        self._gram_LDD = directions_FD.new_zeros(len(MODELS), width, width, dtype=torch.float64)
        self._block: int | None = None

    def add(self, x_BLD: Tensor, block_B: Tensor) -> None:
        """Add a batch of raw activations (float32)."""
        if self._origin_LD is None:
            self._origin_LD = x_BLD.mean(0)
        for block in torch.unique(block_B).tolist():
            if block != self._block:
                self._flush()
                self._block = block
            x_LDB = (x_BLD[block_B == block] - self._origin_LD).permute(1, 2, 0)
            self._gram_LDD += (x_LDB @ x_LDB.transpose(1, 2)).double()

    def origin(self, model: int) -> Tensor:
        """c of every latent [F], float64."""
        assert self._origin_LD is not None
        return self.directions_FD.double() @ self._origin_LD[model].double()

    def finish(self) -> "Spread":
        """Close the last block; call once after the last batch."""
        self._flush()
        return self

    def _flush(self) -> None:
        if self._block is None:
            return
        for model, gram_DD in enumerate(self._gram_LDD.float()):
            along_F = ((self.directions_FD @ gram_DD) * self.directions_FD).sum(-1)
            self.square_KLF[self._block, model] += along_F.double()
        self._gram_LDD.zero_()


def correlation(product: Tensor, code: Tensor, level: Tensor, tokens: Tensor, square: Tensor, spread: Tensor) -> Tensor:
    """Corr(f, y) from Σ f·y, Σ f, Σ y, the number of tokens, Σ f² and Σ y²; NaN where f or y never varies."""
    below = covariance(square, code, code, tokens) * covariance(spread, level, level, tokens)
    return covariance(product, code, level, tokens) / below.clamp(min=0).sqrt()


def separation_columns(products: Products, spread: Spread) -> dict[str, Tensor]:
    """ρ of both models, |ρ^c| − |ρ^b|, and the jackknife errors of the latter and of two thresholds on it.

    ``separation_chat_margin`` is ½|ρ^c| − |ρ^b|: above 0 where the base separates less than half as well as chat;
    ``separation_base_margin`` the other way round.
    """
    sums: dict[str, Sums] = {}
    code_KF, tokens_KF = products.code_KF, products.tokens_KF()
    for number, model in enumerate(MODELS):
        name, origin_F = f"activation_{model}", spread.origin(number)
        sums[model] = (
            products.per_block("chat", name) - origin_F * code_KF, code_KF,
            products.level("chat", name) - origin_F * tokens_KF, tokens_KF,
            products.square_KF, spread.square_KLF[:, number],
        )  # fmt: skip
    both = sums["chat"] + sums["base"]

    def apart(*all_: Tensor, chat: float, base: float) -> Tensor:
        return chat * correlation(*all_[:6]).abs() + base * correlation(*all_[6:]).abs()

    columns = {f"separation_{model}": correlation(*total(sums[model])) for model in MODELS}
    weights = {"difference": (1.0, -1.0), "chat_margin": (0.5, -1.0), "base_margin": (-1.0, 0.5)}
    for name, (chat, base) in weights.items():
        columns[f"separation_{name}"] = apart(*total(both), chat=chat, base=base)
        columns[f"separation_{name}_se"] = jackknife(lambda *all_, c=chat, b=base: apart(*all_, chat=c, base=b), *both)
    return columns
