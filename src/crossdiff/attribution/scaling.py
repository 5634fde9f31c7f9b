"""Latent Scaling (study_spec §1.7): how strongly each latent's direction is used by each model.

For latent j, a direction d_j and a series Y_i, β_j(Y) = argmin_β Σ_i ‖β·f_ij·d_j − Y_i‖²
= ⟨d_j, Σ_i f_ij·Y_i⟩ / (‖d_j‖²·Σ_i f_ij²). All latents are done in one pass over sparse codes: only Σ_i f_ij·Y_i for
Y in {h^b, h^c, ε^b, ε^c} is accumulated, and the other targets follow exactly:

    error:           Y = ε^m + f_j·d_j^m  ⇒  β = β_j(ε^m) + ⟨d_j, d_j^m⟩ / ‖d_j‖²
    reconstruction:  Y = r^m = h^m − ε^m  ⇒  β = β_j(h^m) − β_j(ε^m)

Shapes: B tokens, N active entries, G directions, S series, K blocks of rows, F latents, D width. Sums are kept in
float64 per block of rows, so that a jackknife over blocks tells how well each ratio is determined.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from crossdiff.attribution.sums import weighted_sums

MODELS = ("base", "chat")


class Products:
    """Running ⟨d_j, Σ_i f_ij·Y_i⟩ and Σ_i f_ij² for each block of rows, over series of one name each."""

    def __init__(self, directions: dict[str, Tensor], series: Sequence[str], blocks: int):
        """``directions`` maps a name to rows [F, D] (float32, raw space); ``series`` names what ``add`` will bring."""
        self.directions, self.series = directions, tuple(series)
        first = next(iter(directions.values()))
        latents, self._width = first.shape
        self.numerator_KGSF = first.new_zeros(blocks, len(directions), len(series), latents, dtype=torch.float64)
        self.square_KF = first.new_zeros(blocks, latents, dtype=torch.float64)
        self._sums_FE = first.new_zeros(latents, len(series) * self._width)
        self._block: int | None = None

    def add(self, codes: tuple[Tensor, Tensor, Tensor], y_BSD: Tensor, block_B: Tensor) -> None:
        """Add a batch: its codes, its series [B, S, D] float32 and the block of each token."""
        token_N, latent_N, value_N = codes
        for block in torch.unique(block_B).tolist():
            if block != self._block:
                self._flush()
                self._block = block
            here_N = block_B[token_N] == block
            token_M, latent_M, value_M = token_N[here_N], latent_N[here_N], value_N[here_N]
            self._sums_FE += weighted_sums(y_BSD.flatten(1), token_M, latent_M, value_M, len(self._sums_FE))
            self.square_KF[block].index_add_(0, latent_M, value_M.double().square())

    def finish(self) -> "Products":
        """Close the last block; call once after the last batch."""
        self._flush()
        return self

    def _flush(self) -> None:
        if self._block is None:
            return
        sums_FSD = self._sums_FE.unflatten(1, (len(self.series), self._width))
        for g, direction_FD in enumerate(self.directions.values()):
            for s in range(len(self.series)):
                self.numerator_KGSF[self._block, g, s] += (sums_FSD[:, s] * direction_FD).sum(-1).double()
        self._sums_FE.zero_()

    def per_block(self, direction: str, series: str) -> Tensor:
        """⟨d_j, Σ f_ij·Y_i⟩ of each block, [K, F]."""
        return self.numerator_KGSF[:, list(self.directions).index(direction), self.series.index(series)]

    def beta(self, direction: str, series: str) -> Tensor:
        """β_j [F] of a series; NaN for a latent that was never active or has no direction."""
        square_F = self.directions[direction].double().square().sum(-1)
        return self.per_block(direction, series).sum(0) / (square_F * self.square_KF.sum(0))


def jackknife(part_KF: Tensor, whole_KF: Tensor) -> Tensor:
    """Standard error [F] of the ratio Σ_k part / Σ_k whole, deleting one block at a time.

    se² = (K−1)/K · Σ_k (θ_(k) − mean θ)². NaN where one block holds all there is: then nothing is known of the spread.
    """
    blocks = len(part_KF)
    deleted_KF = (part_KF.sum(0) - part_KF) / (whole_KF.sum(0) - whole_KF)
    return ((blocks - 1) / blocks * (deleted_KF - deleted_KF.mean(0)).square().sum(0)).sqrt()


def scaling_columns(products: Products, decoder: dict[str, Tensor], crosscoder: bool) -> dict[str, Tensor]:
    """β and ν of all latents, by column name.

    ``decoder`` maps each model to the decoder rows [F, D] that write its reconstruction (an SAE of one model has that
    one; a diff-SAE reconstructs neither model, so only the activation target is defined). Targets that are not
    defined have no column.
    """
    columns: dict[str, Tensor] = {}
    for direction, rows_FD in products.directions.items():
        square_F = rows_FD.double().square().sum(-1)
        for model in MODELS:
            activation_F = products.beta(direction, f"activation_{model}")
            columns[f"beta_{direction}_activation_{model}"] = activation_F
            if model in decoder:
                residual_F = products.beta(direction, f"residual_{model}")
                own_F = (rows_FD.double() * decoder[model].double()).sum(-1) / square_F
                columns[f"beta_{direction}_reconstruction_{model}"] = activation_F - residual_F
                columns[f"beta_{direction}_error_{model}"] = residual_F + own_F
        columns |= ratio_columns(products, columns, direction, crosscoder)
    return columns


def ratio_columns(
    products: Products, columns: dict[str, Tensor], direction: str, crosscoder: bool
) -> dict[str, Tensor]:
    """ν = β of the other model / β of the direction's own model, its jackknife error, and whether it is well posed.

    ν is trusted (``nu_valid``) where the denominator lies more than two of its own standard errors from 0. Columns of
    the base direction end in ``_base``.
    """
    own, other, suffix = ("base", "chat", "_base") if direction == "base" else ("chat", "base", "")
    out = {}
    for target in ("reconstruction", "error", "activation") if crosscoder else ("activation",):
        out[f"nu_{target}{suffix}"] = (
            columns[f"beta_{direction}_{target}_{other}"] / columns[f"beta_{direction}_{target}_{own}"]
        )
    own_KF = products.per_block(direction, f"activation_{own}")
    other_KF = products.per_block(direction, f"activation_{other}")
    norm_F = products.directions[direction].double().square().sum(-1)
    error_F = jackknife(own_KF, norm_F * products.square_KF)
    out[f"nu_activation_se{suffix}"] = jackknife(other_KF, own_KF)
    out[f"nu_valid{suffix}"] = columns[f"beta_{direction}_activation_{own}"].abs() > 2 * error_F
    return out
