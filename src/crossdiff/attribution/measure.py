"""One pass over the kept tokens: scaling, use and maxima of every latent, from sparse codes.

Shapes: B tokens, L models, F latents, D width.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crossdiff.activations.store import Block
from crossdiff.attribution.contexts import ROWS
from crossdiff.attribution.firing import Firing
from crossdiff.attribution.histogram import Histogram
from crossdiff.attribution.jackknife import jackknife
from crossdiff.attribution.maxima import Maxima
from crossdiff.attribution.norms import classes, cosine, delta_norm
from crossdiff.attribution.scaling import Products, numerators, scaling_columns
from crossdiff.attribution.separation import Spread, separation_columns
from crossdiff.attribution.template import Slots, SlotUse
from crossdiff.attribution.usage import Usage
from crossdiff.dictionaries.architecture import Dictionary

WRITES: dict[str, tuple[str, ...]] = {
    "crosscoder": ("base", "chat"),
    "chat-sae": ("chat",),
    "base-sae": ("base",),
    "diff-sae": (),
}
"""Models whose activations a dictionary reconstructs."""
Column = Tensor | list[str] | None


@dataclass
class Measured:
    """What one pass gathers."""

    usage: Usage
    slots: SlotUse
    products: Products
    spread: Spread | None
    """Only of a diff-SAE."""
    maxima: Maxima
    row_N: Tensor
    """Row of every token, in the order of the pass."""
    position_N: Tensor
    histogram: Histogram


def decoder_rows(dictionary: Dictionary) -> dict[str, Tensor]:
    """Raw decoder rows [F, D] by the direction they are scored as: both for a crosscoder, else "chat"."""
    rows_LFD = dictionary.directions()
    return {"base": rows_LFD[0], "chat": rows_LFD[1]} if len(rows_LFD) == 2 else {"chat": rows_LFD[0]}


def writes(dictionary: Dictionary) -> dict[str, Tensor]:
    """Raw decoder rows [F, D] by the model whose activations they reconstruct."""
    return dict(zip(WRITES[dictionary.kind], dictionary.directions(), strict=False))


def series(dictionary: Dictionary, x_BLD: Tensor, reconstruction_BLD: Tensor) -> Tensor:
    """h^b, h^c and then the error of each model the dictionary reconstructs, [B, S, D] float32."""
    models = [("base", "chat").index(model) for model in WRITES[dictionary.kind]]
    if not models:
        return x_BLD
    return torch.cat([x_BLD, x_BLD[:, models] - reconstruction_BLD], 1)


def measure(
    dictionary: Dictionary,
    blocks: Iterable[Block],
    sources: Sequence[str],
    source_R: Tensor,
    block_R: Tensor,
    update: Callable[[int], object],
    slots: Slots | None = None,
    firing: Firing | None = None,
) -> Measured:
    """Measure all latents. ``source_R`` and ``block_R`` give each row's source and jackknife block (int64).

    ``slots`` gives the places in the template of all rows' tokens, if they are to be counted; ``firing`` gathers when
    latents are active, if that is to be kept.
    """
    device, latents = dictionary.encoder.device, dictionary.shape[2]
    names = ["activation_base", "activation_chat"] + [f"residual_{model}" for model in WRITES[dictionary.kind]]
    number = int(block_R.max()) + 1
    products = Products(decoder_rows(dictionary), names, number)
    spread = Spread(products.directions["chat"], number) if dictionary.kind == "diff-sae" else None
    weight_F = dictionary.score_weight()
    usage, histogram = Usage(weight_F, sources, number), Histogram(latents, device)
    maxima, seen = Maxima(latents, ROWS, device), 0
    slot_use = SlotUse(slots.count if slots else 0, latents, device)
    rows, positions = [], []
    for block in blocks:
        x_BLD = block.x_BLD.to(device).float()
        row_B = block.row_B.long()
        codes = dictionary.codes(dictionary.read(x_BLD))
        token_N, latent_N, value_N = codes
        reconstruction_BLD = dictionary.decode_codes(codes, len(x_BLD))
        block_B = block_R[row_B].to(device)
        taken_LN = dictionary.taken(value_N, latent_N) if dictionary.decoupled else None
        products.add(codes, series(dictionary, x_BLD, reconstruction_BLD), block_B, taken_LN)
        if spread is not None:
            spread.add(x_BLD, block_B)
        usage.add(codes, source_R[row_B].to(device), block.role_B.long().to(device), block_B)
        if slots:
            slot_use.add(token_N, latent_N, slots.of(row_B, block.position_B.long()).to(device))
        active_N = value_N * weight_F[latent_N]
        histogram.add(latent_N, active_N)
        maxima.add(latent_N, active_N, row_B.to(device)[token_N], token_N + seen)
        if firing is not None:
            firing.add(token_N + seen, latent_N, active_N)
        seen += len(x_BLD)
        rows.append(row_B)
        positions.append(block.position_B.long())
        update(len(x_BLD))
    spread = None if spread is None else spread.finish()
    all_tokens = torch.cat(rows), torch.cat(positions)
    return Measured(usage, slot_use, products.finish(), spread, maxima, *all_tokens, histogram)


def norm_columns(dictionary: Dictionary) -> dict[str, Column]:
    """Norms, Δ_norm, class and cosines, as trained (normalised space); what needs two models is None for an SAE.

    The norm of an SAE goes to the model it reads, that of a diff-SAE to chat.
    """
    decoder_LF = dictionary.decoder.norm(dim=-1)
    encoder_LF = dictionary.encoder.norm(dim=1)
    if len(decoder_LF) == 1:
        own = "base" if dictionary.kind == "base-sae" else "chat"
        none: dict[str, Column] = dict.fromkeys(("class", "delta_norm", "norm_base", "norm_chat", "cosine"))
        none |= dict.fromkeys(("enc_norm_base", "enc_norm_chat", "enc_cosine"))
        return none | {f"norm_{own}": decoder_LF[0], f"enc_norm_{own}": encoder_LF[0]}
    delta_F = delta_norm(*decoder_LF)
    return {
        "class": classes(delta_F),
        "delta_norm": delta_F,
        "norm_base": decoder_LF[0],
        "norm_chat": decoder_LF[1],
        "cosine": cosine(*dictionary.decoder),
        "enc_norm_base": encoder_LF[0],
        "enc_norm_chat": encoder_LF[1],
        "enc_cosine": cosine(*dictionary.encoder.transpose(1, 2)),
    }


def columns(dictionary: Dictionary, measured: Measured) -> dict[str, Column]:
    """All columns of the latent table but the latent's number; NaN and None mean not defined."""
    use = measured.usage.columns()
    scaling = scaling_columns(measured.products, writes(dictionary), dictionary.kind == "crosscoder")
    found = {"dead": use.pop("dead")} | norm_columns(dictionary) | use | scaling
    if dictionary.kind == "crosscoder":
        found |= fitted_columns(dictionary, measured.products)
    if measured.spread is not None:
        found |= separation_columns(measured.products, measured.spread)
    return found


def fitted_columns(dictionary: Dictionary, products: Products) -> dict[str, Tensor]:
    """Δ_norm of the decoder rows as the measured tokens would have them, with its jackknife error [F].

    Each model's row is rescaled by β of that model's error on it: what the model's stream still follows, once the
    other latents are taken away. Where training fitted the rows well β is near 1 and Δ is Δ_norm; where it shrank one
    (study_spec §1.8) β is larger. ``strength_ratio`` is the logarithm of the chat row's size over the base row's, with
    its error: 0 alike, infinite where one is gone.
    """
    writes_ = writes(dictionary)
    above = {model: numerators(products, writes_, model)["error"][model][0] for model in ("base", "chat")}
    # β‖d‖ = ⟨d, Σ f·Y⟩ / (‖d‖ Σ f²); Σ f² is the same for both models, and only the sizes' ratio counts.
    norm_LF = dictionary.directions().double().norm(dim=-1).clamp(min=torch.finfo(torch.float64).tiny)

    def sizes(base: Tensor, chat: Tensor) -> tuple[Tensor, Tensor]:
        return (base / norm_LF[0]).clamp(min=0), (chat / norm_LF[1]).clamp(min=0)

    def delta(base: Tensor, chat: Tensor) -> Tensor:
        return delta_norm(*sizes(base, chat))

    def strength(base: Tensor, chat: Tensor) -> Tensor:
        of_base, of_chat = sizes(base, chat)
        return (of_chat / of_base).log()

    out = {}
    for name, statistic in (("delta_fitted", delta), ("strength_ratio", strength)):
        out[name] = statistic(above["base"].sum(0), above["chat"].sum(0))
        out[f"{name}_se"] = jackknife(statistic, above["base"], above["chat"])
    return out
