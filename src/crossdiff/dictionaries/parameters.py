"""What is trained: one row a latent, both models side by side, fp32.

In this layout the encoder product, the decode and both gradients all work on whole rows; the canonical
tensors of a `Dictionary` are views of it, permuted.

Shapes: B tokens, L models, D width, F latents, I = L·D.
"""

from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import score_weight
from crossdiff.dictionaries.recipe import Recipe


class Coarse(NamedTuple):
    """A matrix in 8 bits: row m is about eight_m · scale_m."""

    eight_MI: Tensor
    """int8, −127 … 127."""
    scale_M: Tensor
    """fp32."""
    reach_M: Tensor
    """√(Σ row² / 12), fp32: one standard deviation of what a product with another row is wrong by, over that one's
    scale, for rounding it; ∞ where a third of this row rounds to 0, so that its own errors are no chance."""


@dataclass(frozen=True)
class Parameters:
    """Weights of a dictionary in training, or their gradients."""

    encoder_FI: Tensor
    encoder_bias_F: Tensor
    decoder_FI: Tensor
    decoder_bias_I: Tensor
    _: KW_ONLY
    short_FI: Tensor | None = None
    """The encoder in bf16, as products read it, where `optimise.move` keeps it up to date."""
    coarse: Coarse | None = None
    """The encoder in 8 bits, as `screen` reads it, where `optimise.move` keeps it up to date."""

    @property
    def tensors(self) -> list[Tensor]:
        """All that are learnt, in a fixed order."""
        return [self.encoder_FI, self.encoder_bias_F, self.decoder_FI, self.decoder_bias_I]

    def decoder_FLD(self, models: int) -> Tensor:
        """The decoder seen model by model."""
        return self.decoder_FI.view(self.decoder_FI.shape[0], models, -1)


def encoder_input(parameters: Parameters, x_BI: Tensor, recipe: Recipe) -> Tensor:
    """What the encoder sees: SAEs subtract the decoder bias, crosscoders do not (study_spec §1.1, §1.5)."""
    return x_BI - parameters.decoder_bias_I if recipe.unit_norm else x_BI


def weight_of(parameters: Parameters, recipe: Recipe) -> Tensor:
    """Score weight w [F] in force."""
    return score_weight(parameters.decoder_FLD(recipe.models), recipe.score_form)


def silence(silent_F: Tensor, fired_F: Tensor, tokens: int) -> Tensor:
    """Tokens since each latent last fired [F] int64, after a batch of ``tokens``."""
    return torch.where(fired_F, 0, silent_F + tokens)


@dataclass(frozen=True)
class Step:
    """What one batch gave."""

    loss: float | Tensor
    """The training loss, all terms."""
    gradients: Parameters
    error_BI: Tensor
    """x − x̂ in the normalised space."""
    silent_F: Tensor
    """Tokens since each latent last fired, this batch included."""
    active: int | Tensor
    """Active entries of the batch."""
    least_score: float | Tensor | None
    """Smallest kept score; None, or inf if a tensor, if nothing was kept; None for L1."""
    auxiliary: float | Tensor
    """The auxiliary loss, before its weight; 0 when no latent is dead."""
    norm: Tensor | None = None
    """Global norm of the gradients, fp32 [], where the step learnt it on its way."""
    sums_2F: Tensor | None = None
    """See `codes.Pullback`."""
