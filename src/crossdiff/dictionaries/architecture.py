"""One dictionary class for crosscoders (L = 2) and SAEs (L = 1), on raw activations.

Shapes: B tokens, L models (0 base, 1 chat), D width, F latents, N active entries.
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from crossdiff.dictionaries.recipe import Kind
from crossdiff.dictionaries.select import above, level_of_value

TENSORS = ("encoder", "encoder_bias", "decoder", "decoder_bias", "threshold", "mean", "scale")
MIXED = {"concat": 1.0, "sum": 0.1}
"""What `mixed` score weights are made of, as in the study's code."""
READS = {"crosscoder": "base, chat", "diff-sae": "chat - base", "chat-sae": "chat", "base-sae": "base"}


class Codes(NamedTuple):
    """Active entries of a batch, sorted by token, then by latent."""

    token_N: Tensor
    """int64, row of the batch."""
    latent_N: Tensor
    """int64."""
    value_N: Tensor
    """fp32, f > 0."""


def read(kind: Kind, x_BLD: Tensor) -> Tensor:
    """What a dictionary of this kind reads of a pair's activations [B, 2, D], in fp32: [B, 2, D] or [B, 1, D]."""
    x_BLD = x_BLD.float()
    if kind == "crosscoder":
        return x_BLD
    if kind == "diff-sae":
        return x_BLD[:, 1:] - x_BLD[:, :1]
    return x_BLD[:, 1:] if kind == "chat-sae" else x_BLD[:, :1]


def score_weight(decoder_FLD: Tensor, form: str) -> Tensor:
    """w [F]: what an activation is multiplied by before it is ranked or charged (study_spec §1.2).

    ``sum`` of the latent's decoder norms over models, norm of the ``concat``enated decoder, `MIXED` of both, or 1
    (``none``). ``decoupled`` codes are ranked by each model's own norm (`norms`); their activity is that of the sum.
    """
    if form == "mixed":
        return torch.stack([share * score_weight(decoder_FLD, part) for part, share in MIXED.items()]).sum(0)
    if form == "none":
        return decoder_FLD.new_ones(decoder_FLD.shape[0])
    if form == "concat":
        return torch.linalg.vector_norm(decoder_FLD.flatten(1), dim=1)
    return norms(decoder_FLD).sum(1)


def norms(decoder_XD: Tensor) -> Tensor:
    """Norm of every decoder row [..] of [.., D]: what `decoupled` codes are ranked by in each model."""
    return torch.linalg.vector_norm(decoder_XD, dim=-1)


@dataclass(frozen=True)
class Dictionary:
    """A trained dictionary: f = relu(a)·[relu(a)·w > θ] with a = Σ_l x'_l·W_l + b and x' = (x − mean)·scale.

    All tensors are fp32. Decoder rows and biases live in the normalised space of x'; `directions` gives
    them in the space of the activations. What is trained here shares one θ and one scale, so that Δ_norm and ν are
    the same in both spaces; a published dictionary may have a θ for each latent, a scale for each model, or a `k`.
    """

    kind: Kind
    """What it reads, see `read`."""
    score: str
    """Form of the score weight w: sum, concat, mixed or none. Or decoupled: each model's decoder takes f only where
    f·‖d^m‖ > θ^m, so that f alone says in which models a latent is on (`taken`)."""
    encoder: Tensor
    """[L, D, F]."""
    encoder_bias: Tensor
    """[F]."""
    decoder: Tensor
    """[L, F, D]."""
    decoder_bias: Tensor
    """[L, D]."""
    threshold: Tensor
    """θ [] or [F], on scores f·w; 0 for L1. Of decoupled codes [L], one a model."""
    mean: Tensor
    """[L, D], subtracted from raw activations; 0 where activations are not normalised."""
    scale: Tensor
    """[] or [L, 1], multiplies what is left; 1 where activations are not normalised."""
    k: int | None = None
    """TopK: of a token's scores above θ only the k largest count; None where θ alone decides."""
    whole: "Whole | None" = None
    """Of a part of a TopK dictionary: all of it, because all latents compete for the k places. Never on disk."""
    about: dict[str, Any] = field(default_factory=dict)
    """Recipe, seed, layer, pair: whatever its maker wrote down, JSON values only."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(L, D, F)."""
        models, width, latents = self.encoder.shape
        return models, width, latents

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The canonical tensors by name."""
        return {name: getattr(self, name) for name in TENSORS}

    def to(self, device: str | torch.device) -> "Dictionary":
        """The same dictionary on another device."""
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return replace(self, **moved)

    def read(self, x_BLD: Tensor) -> Tensor:
        """What this dictionary reads of a pair's activations [B, 2, D], fp32."""
        return read(self.kind, x_BLD)

    def negated(self) -> "Dictionary":
        """The dictionary of −x: x̂(−x) of this one is −x̂(x) of that one, with the same codes, bit for bit."""
        parts: dict[str, Any] = {n: -getattr(self, n) for n in ("encoder", "decoder", "decoder_bias", "mean")}
        return replace(self, **parts)

    def score_weight(self) -> Tensor:
        """w [F], fp32."""
        return score_weight(self.decoder.transpose(0, 1), self.score)

    @property
    def decoupled(self) -> bool:
        """Whether a latent may be on in one model and off in the other."""
        return self.score == "decoupled"

    def taken(self, value_XF: Tensor, latent_F: Tensor | slice = slice(None)) -> Tensor:
        """Where each model's decoder takes decoupled codes [.., F] of the numbered latents, bool [L, .., F]."""
        norm_LF, level_L1 = self._selections()
        others = [1] * (value_XF.ndim - 1)
        weight_LXF = norm_LF[:, latent_F].view(len(norm_LF), *others, -1)
        return value_XF * weight_LXF > level_L1.view(-1, *others, 1)

    def directions(self) -> Tensor:
        """Decoder rows in the space of raw activations, [L, F, D]."""
        return self.decoder / self.scale.reshape(-1, 1, 1)

    def encode(self, x_BLD: Tensor) -> Tensor:
        """Codes f [B, F] fp32 of raw activations [B, L, D] of any float type."""
        if self.whole is not None:
            return self.whole.dictionary.encode(x_BLD).index_select(1, self.whole.latents_S)
        f_BF = torch.relu_(self._preactivation(x_BLD))
        if self.decoupled:
            return f_BF * self.taken(f_BF).any(0)
        score_BF = f_BF * self.score_weight()
        f_BF = f_BF * (score_BF > self.threshold)
        return f_BF if self.k is None else f_BF * _largest(score_BF * (f_BF > 0), self.k)

    def decode(self, f_BF: Tensor) -> Tensor:
        """Reconstruction [B, L, D] fp32, in raw units, of codes [B, F]."""
        f_BF = f_BF.float()
        if self.decoupled:
            return self._raw(torch.einsum("lbf,lfd->bld", f_BF * self.taken(f_BF), self.decoder))
        return self._raw(torch.einsum("bf,lfd->bld", f_BF, self.decoder))

    def codes(self, x_BLD: Tensor) -> Codes:
        """The active entries of `encode`, without the zeros."""
        if self.k is not None:
            f_BF = self.encode(x_BLD)
            token_N, latent_N = f_BF.nonzero(as_tuple=True)
            return Codes(token_N, latent_N, f_BF[token_N, latent_N])
        pre_BF = self._preactivation(x_BLD)
        weight_SF, level_SF = self._selections()
        flat_N = above(pre_BF, level_of_value(level_SF.clamp_min(0), weight_SF).amin(0))
        value_N = pre_BF.view(-1).index_select(0, flat_N)
        latent_N = flat_N % pre_BF.shape[1]
        # Judged by the very product that `encode` compares, so that both agree on entries near θ.
        level_SN = level_SF.expand_as(weight_SF).index_select(1, latent_N)
        active_N = (value_N * weight_SF.index_select(1, latent_N) > level_SN).any(0)
        flat_N = flat_N[active_N]
        return Codes(flat_N // pre_BF.shape[1], latent_N[active_N], value_N[active_N])

    def decode_codes(self, codes: Codes, tokens: int) -> Tensor:
        """Reconstruction [tokens, L, D] fp32, in raw units, of sparse codes."""
        models, width, latents = self.shape
        offset_B = torch.searchsorted(codes.token_N, torch.arange(tokens, device=codes.token_N.device))
        if self.decoupled:
            value_LN = codes.value_N * self.taken(codes.value_N, codes.latent_N)
            bags = [
                embedding_bag(codes.latent_N, rows_FD, offset_B, mode="sum", per_sample_weights=value_N)
                for rows_FD, value_N in zip(self.decoder, value_LN, strict=True)
            ]
            return self._raw(torch.stack(bags, 1))
        decoder_FI = self.decoder.transpose(0, 1).reshape(latents, models * width)
        bags_BI = embedding_bag(codes.latent_N, decoder_FI, offset_B, mode="sum", per_sample_weights=codes.value_N)
        return self._raw(bags_BI.view(tokens, models, width))

    def _selections(self) -> tuple[Tensor, Tensor]:
        """Score weights [S, F] and θ [1, 1], [1, F] or [L, 1]: of the one selection, or of each model's own."""
        if self.decoupled:
            return norms(self.decoder), self.threshold[:, None]
        return self.score_weight()[None], self.threshold.view(1, -1)

    def _preactivation(self, x_BLD: Tensor) -> Tensor:
        normal_BLD = (x_BLD.float() - self.mean) * self.scale
        return torch.addmm(self.encoder_bias, normal_BLD.flatten(1), self.encoder.flatten(0, 1))

    def _raw(self, x_BLD: Tensor) -> Tensor:
        return (x_BLD + self.decoder_bias) / self.scale + self.mean


@dataclass(frozen=True)
class Whole:
    """A TopK dictionary, and which of its latents a part of it has."""

    dictionary: Dictionary
    latents_S: Tensor
    """int64."""


def _largest(score_BF: Tensor, k: int) -> Tensor:
    """Mask [B, F] of each row's k largest scores."""
    index_BK = score_BF.topk(min(k, score_BF.shape[1]), dim=1, sorted=False).indices
    return torch.zeros_like(score_BF, dtype=torch.bool).scatter_(1, index_BK, True)
