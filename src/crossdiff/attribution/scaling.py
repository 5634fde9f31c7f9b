"""Latent Scaling (study_spec §1.7): how strongly each latent's direction is used by each model.

For latent j, a direction d_j and a series Y_i, β_j(Y) = argmin_β Σ_i ‖β·f_ij·d_j − Y_i‖²
= ⟨d_j, Σ_i f_ij·Y_i⟩ / (‖d_j‖²·Σ_i f_ij²). All latents are done in one pass over sparse codes: only Σ_i f_ij·Y_i for
Y in {h^b, h^c, ε^b, ε^c} is accumulated, and the other targets follow exactly:

    error:           Y = ε^m + f_j·d_j^m  ⇒  β = β_j(ε^m) + ⟨d_j, d_j^m⟩ / ‖d_j‖²
    reconstruction:  Y = r^m = h^m − ε^m  ⇒  β = β_j(h^m) − β_j(ε^m)

With decoupled codes f_ij is active where it is in either model, and the latent's own part of model m's reconstruction
only where it is in m: the last term of the error's β is then times Σ_i (f^m_ij)² / Σ_i f_ij².

    centred:         regression of ⟨d_j, h⟩ on f_j with an intercept, over all tokens:
                     β = Cov(f_j, ⟨d_j, h^m⟩) / (‖d_j‖²·Var(f_j))

The first three are the study's. They also weigh what is the same on every token: a latent whose direction leans on the
mean activation has a large β^{h,m} in both models, whatever the latent does. The centred target does not; a shift of
all of one model's tokens leaves it as it was.

Shapes: B tokens, N active entries, G directions, S series, K blocks of rows, F latents, D width. Sums are kept in
float64 per block of rows, so that a jackknife over blocks tells how well each ratio is determined.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from crossdiff.attribution.jackknife import clear_of_zero, jackknife
from crossdiff.attribution.sums import summed, weighted_sums

MODELS = ("base", "chat")


class Products:
    """Running ⟨d_j, Σ_i f_ij·Y_i⟩, ⟨d_j, Σ_i Y_i⟩, Σ_i f_ij and Σ_i f_ij² for each block of rows."""

    def __init__(self, directions: dict[str, Tensor], series: Sequence[str], blocks: int):
        """``directions`` maps a name to rows [F, D] (float32, raw space); ``series`` names what ``add`` will bring."""
        self.directions, self.series = directions, tuple(series)
        first = next(iter(directions.values()))
        latents, self._width = first.shape
        self.numerator_KGSF = first.new_zeros(blocks, len(directions), len(series), latents, dtype=torch.float64)
        self.level_KGSF = torch.zeros_like(self.numerator_KGSF)
        self.code_KF = first.new_zeros(blocks, latents, dtype=torch.float64)
        self.square_KF = torch.zeros_like(self.code_KF)
        self._own_KLF: Tensor | None = None
        self.tokens_K = first.new_zeros(blocks, dtype=torch.float64)
        self._sums_FE = first.new_zeros(latents, len(series) * self._width)
        self._total_SD = first.new_zeros(len(series), self._width, dtype=torch.float64)
        self._block: int | None = None

    def add(
        self,
        codes: tuple[Tensor, Tensor, Tensor],
        y_BSD: Tensor,
        block_B: Tensor,
        taken_LN: Tensor | None = None,
    ) -> None:
        """Add a batch: its codes, its series [B, S, D] float32 and the block of each token.

        ``taken_LN`` tells of decoupled codes in which models each is active.
        """
        if taken_LN is not None:
            self._add_own(codes, block_B, taken_LN)
        token_N, latent_N, value_N = codes
        for block in torch.unique(block_B).tolist():
            if block != self._block:
                self._flush()
                self._block = block
            here_B = block_B == block
            here_N = here_B[token_N]
            token_M, latent_M, value_M = token_N[here_N], latent_N[here_N], value_N[here_N]
            self._sums_FE += weighted_sums(y_BSD.flatten(1), token_M, latent_M, value_M, len(self._sums_FE))
            self._total_SD += y_BSD[here_B].sum(0, dtype=torch.float64)
            self.code_KF[block] += summed(value_M.double(), latent_M, self.code_KF[block])
            self.square_KF[block] += summed(value_M.double().square(), latent_M, self.square_KF[block])
            self.tokens_K[block] += int(here_B.sum())

    def _add_own(self, codes: tuple[Tensor, Tensor, Tensor], block_B: Tensor, taken_LN: Tensor) -> None:
        token_N, latent_N, value_N = codes
        blocks, latents = self.square_KF.shape
        if self._own_KLF is None:
            self._own_KLF = self.square_KF.new_zeros(blocks, len(taken_LN), latents)
        for model, taken_N in enumerate(taken_LN):
            place_M = block_B[token_N[taken_N]] * latents + latent_N[taken_N]
            own_KF = self._own_KLF[:, model]
            own_KF += summed(value_N[taken_N].double().square(), place_M, own_KF)

    def own_square_KF(self, model: str) -> Tensor:
        """Σ f_ij² of each block where the latent writes a model's reconstruction."""
        return self.square_KF if self._own_KLF is None else self._own_KLF[:, MODELS.index(model)]

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
            self.level_KGSF[self._block, g] += (direction_FD.double() @ self._total_SD.T).T
        self._sums_FE.zero_()
        self._total_SD.zero_()

    def per_block(self, direction: str, series: str) -> Tensor:
        """⟨d_j, Σ f_ij·Y_i⟩ of each block, [K, F]."""
        return self.numerator_KGSF[:, list(self.directions).index(direction), self.series.index(series)]

    def level(self, direction: str, series: str) -> Tensor:
        """⟨d_j, Σ Y_i⟩ of each block, over all tokens, [K, F]."""
        return self.level_KGSF[:, list(self.directions).index(direction), self.series.index(series)]

    def tokens_KF(self) -> Tensor:
        """Tokens of each block [K, F], the same for every latent."""
        return self.tokens_K[:, None].expand_as(self.code_KF)


def covariance(product: Tensor, code: Tensor, level: Tensor, tokens: Tensor) -> Tensor:
    """Σ (f − mean f)(y − mean y) from Σ f·y, Σ f, Σ y and the number of tokens."""
    return product - code * level / tokens


Sums = tuple[Tensor, ...]


def moment(*sums: Tensor) -> Tensor:
    """A sum as it is, or the covariance of four (see `covariance`)."""
    return covariance(*sums) if len(sums) == 4 else sums[0]


def scaling_columns(products: Products, decoder: dict[str, Tensor], crosscoder: bool) -> dict[str, Tensor]:
    """β and ν of all latents, by column name.

    ``decoder`` maps each model to the decoder rows [F, D] that write its reconstruction (an SAE of one model has that
    one; a diff-SAE reconstructs neither model, so only the activation targets are defined). Targets that are not
    defined have no column. A base SAE's one direction is scored both ways round: as the study does, and, centred, with
    base as the model it belongs to.
    """
    columns: dict[str, Tensor] = {}
    for direction, rows_FD in products.directions.items():
        norm_F = rows_FD.double().square().sum(-1)
        own = "base" if direction == "base" else "chat"
        for target, above in numerators(products, decoder, direction).items():
            below = denominator(products, target)
            for model, sums_KF in above.items():
                columns[f"beta_{direction}_{target}_{model}"] = moment(*total(sums_KF)) / (
                    norm_F * moment(*total(below))
                )
            if crosscoder or target in ("activation", "centred"):
                columns |= ratio_columns(above, below, target, own)
            if target == "centred" and list(decoder) == ["base"]:
                columns |= ratio_columns(above, below, target, "base")
    return columns


def total(sums_KF: Sums) -> Sums:
    """Sums over all blocks."""
    return tuple(part_KF.sum(0) for part_KF in sums_KF)


def numerators(products: Products, decoder: dict[str, Tensor], direction: str) -> dict[str, dict[str, Sums]]:
    """For each target and model, the sums [K, F] of which β's numerator is the `moment`."""
    out: dict[str, dict[str, Sums]] = {"activation": {}, "reconstruction": {}, "error": {}, "centred": {}}
    rows_FD = products.directions[direction].double()
    for model in MODELS:
        activation_KF = products.per_block(direction, f"activation_{model}")
        out["activation"][model] = (activation_KF,)
        if model in decoder:
            residual_KF = products.per_block(direction, f"residual_{model}")
            own_F = (rows_FD * decoder[model].double()).sum(-1)
            out["reconstruction"][model] = (activation_KF - residual_KF,)
            out["error"][model] = (residual_KF + own_F * products.own_square_KF(model),)
        level_KF = products.level(direction, f"activation_{model}")
        out["centred"][model] = (activation_KF, products.code_KF, level_KF, products.tokens_KF())
    return {target: models for target, models in out.items() if models}


def denominator(products: Products, target: str) -> Sums:
    """The sums [K, F] of which β's denominator, over ‖d‖², is the `moment`."""
    if target != "centred":
        return (products.square_KF,)
    return (products.square_KF, products.code_KF, products.code_KF, products.tokens_KF())


def ratio_columns(above: dict[str, Sums], below: Sums, target: str, own: str) -> dict[str, Tensor]:
    """ν = β of the other model / β of the direction's own model, its jackknife error, and whether it is well posed.

    ν is trusted where its denominator lies more than two of its own standard errors from 0: ``nu_<target>_valid``
    (``nu_valid`` for the activation). Columns of the base direction end in ``_base``.
    """
    other, suffix = ("chat", "_base") if own == "base" else ("base", "")
    parts = len(below)

    def quotient(*both: Tensor) -> Tensor:
        return moment(*both[:parts]) / moment(*both[parts:])

    valid = "nu_valid" if target == "activation" else f"nu_{target}_valid"
    own_F, own_se_F = quotient(*total(above[own] + below)), jackknife(quotient, *above[own], *below)
    return {
        f"nu_{target}{suffix}": quotient(*total(above[other] + above[own])),
        f"nu_{target}_se{suffix}": jackknife(quotient, *above[other], *above[own]),
        f"{valid}{suffix}": clear_of_zero(own_F, own_se_F),
    }
