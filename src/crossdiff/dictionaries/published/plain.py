"""What SAE formats have in common: one encoder, one decoder, and a bias that the encoder may see subtracted.

A bias subtracted before and added after is what a mean does, so it is kept as the canonical mean, not folded: the codes
are the format's own and a round trip changes no bit. Folding is done only where a format has no place for a part.

Shapes: D width, F latents.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.recipe import Kind
from crossdiff.errors import UserError


@dataclass(frozen=True)
class PlainSAE:
    """f = relu(a)·[relu(a)·w > θ] with a = (x − b_dec)·W + b, or x·W + b; x̂ = f·W_dec + b_dec. All fp32."""

    encoder_DF: Tensor
    encoder_bias_F: Tensor
    decoder_FD: Tensor
    b_dec_D: Tensor
    threshold: Tensor
    """θ [] or [F]."""
    centred: bool
    """Whether the encoder sees x − b_dec."""
    k: int | None = None
    """TopK, of each token."""
    score: str = "none"
    """Form of w."""

    def dictionary(self, kind: Kind, about: dict[str, Any]) -> Dictionary:
        """The canonical form; exact."""
        if kind == "crosscoder":
            raise UserError("kind: the files hold an SAE, not a crosscoder; give chat-sae, base-sae or diff-sae")
        b_dec_LD, zero_LD = self.b_dec_D[None], torch.zeros_like(self.b_dec_D)[None]
        return Dictionary(
            kind=kind,
            score=self.score,
            encoder=self.encoder_DF[None].contiguous(),
            encoder_bias=self.encoder_bias_F,
            decoder=self.decoder_FD[None].contiguous(),
            decoder_bias=zero_LD if self.centred else b_dec_LD,
            threshold=self.threshold,
            mean=b_dec_LD if self.centred else zero_LD,
            scale=torch.ones(()),
            k=self.k,
            about=about,
        )

    def moved(self, centred: bool) -> "PlainSAE":
        """The same SAE with or without the subtraction, the difference folded into the encoder bias (in fp64)."""
        if self.centred == centred:
            return self
        moved_F = self.b_dec_D.double() @ self.encoder_DF.double()
        bias_F = self.encoder_bias_F.double() + (moved_F if centred else -moved_F)
        return replace(self, encoder_bias_F=bias_F.float(), centred=centred)

    def threshold_F(self) -> Tensor:
        """θ as [F]."""
        return self.threshold.expand(len(self.encoder_bias_F)).clone()


def plain(dictionary: Dictionary, format_: str) -> PlainSAE:
    """An SAE of ours in this form: exact where its scale is 1 and it has one bias, else folded in fp64.

    UserError if it is a crosscoder. A score weight is taken into θ, latent by latent, where that is the same.
    """
    if dictionary.shape[0] != 1:
        raise UserError(
            f"{format_} holds SAEs of one model's activations; a crosscoder's encoder needs both models:"
            " export it as science-of-finetuning or ckkissane"
        )
    threshold, score = _unweighted(dictionary)
    mean_D, bias_D = dictionary.mean[0], dictionary.decoder_bias[0]
    scale = dictionary.scale.flatten()[0]
    exact = bool(scale == 1) and not (bool(mean_D.any()) and bool(bias_D.any()))
    sae = PlainSAE(
        encoder_DF=dictionary.encoder[0],
        encoder_bias_F=dictionary.encoder_bias,
        decoder_FD=dictionary.decoder[0],
        b_dec_D=bias_D if bool(bias_D.any()) else mean_D,
        threshold=threshold,
        centred=not bool(bias_D.any()),
        k=dictionary.k,
        score=score,
    )
    return sae if exact else _folded(sae, mean_D.double(), bias_D.double(), scale.double())


def _unweighted(dictionary: Dictionary) -> tuple[Tensor, str]:
    """θ on the codes themselves, and the score form that is left: TopK needs it, a threshold does not."""
    if dictionary.score == "none" or dictionary.k is not None:
        return dictionary.threshold, "none" if dictionary.score == "none" else "sum"
    if not bool(dictionary.threshold.any()):
        return dictionary.threshold, "none"
    weight_F = dictionary.score_weight()
    return torch.where(weight_F > 0, dictionary.threshold / weight_F, torch.finfo(torch.float32).max), "none"


def _folded(sae: PlainSAE, mean_D: Tensor, bias_D: Tensor, scale: Tensor) -> PlainSAE:
    """a = ((x − m)·s)·W + b and x̂ = (f·d + c)/s + m as an SAE of scale 1 whose one bias is c/s + m, subtracted."""
    encoder_DF = sae.encoder_DF.double() * scale
    shift_F = (bias_D / scale) @ encoder_DF  # the new bias less the mean
    return replace(
        sae,
        encoder_DF=encoder_DF.float(),
        encoder_bias_F=(sae.encoder_bias_F.double() + shift_F).float(),
        decoder_FD=(sae.decoder_FD.double() / scale).float(),
        b_dec_D=(bias_D / scale + mean_D).float(),
        centred=True,
    )


def k_of(dictionary: Dictionary) -> int:
    """Active latents a token it was trained for, as far as it says: of a recipe, of published files, else 1."""
    about = dictionary.about
    known = (about.get("published") or {}).get("k") or (about.get("recipe") or {}).get("k")
    return int(known or 1)
