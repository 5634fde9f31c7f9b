"""Which latents are which: the definitions that metrics, figures and examples share.

Δ_norm and its classes: study_spec §1.6. ν: §1.7. A latent counts as chat-specific

    crosscoder   |ν_r| < 0.5 and |ν_ε| < 0.2   (`crossdiff.attribution.specific`)
    SAE          |ν| < 0.3, ν of the activation, where β_chat is clear of zero

Its template share is that of its activations on chat text: template / (template + user + assistant), §3.5.
"""

import polars as pl

from crossdiff.attribution.specific import NU_ACTIVATION as NU_SAE
from crossdiff.attribution.specific import by_pair
from crossdiff.report.collect import Dictionary

NU_ACTIVATION = (NU_SAE, 0.5, 0.6)
"""Thresholds of |ν| that are counted; the first one is the SAEs' rule."""
CLASSES = ("chat-only", "base-only", "shared", "other")
MOSTLY = 0.5
"""Above it a latent is mostly active on the template."""
THIRD = 0.333333
"""The study's other cut, a third: below it by what rounding takes from shares, which are float32."""

alive = ~pl.col("dead")
by_error_and_reconstruction = alive & by_pair(pl.col("nu_reconstruction"), pl.col("nu_error")).fill_null(False)
chat_only = alive & (pl.col("class") == "chat-only").fill_null(False)
ON_TEMPLATE = ("template_share", "user_share", "assistant_share")
"""Columns that tell the template share."""
_on_chat = pl.sum_horizontal(*ON_TEMPLATE, ignore_nulls=False)
on_template = pl.when(_on_chat > 0).then(pl.col("template_share") / _on_chat)
"""Share of a latent's active tokens on chat text, BOS left out, that the template wrote; null if it has none there.

The study counts a token as active above 1e-3; here every token that the dictionary's own threshold lets through counts.
"""


def by_activation(threshold: float) -> pl.Expr:
    """|ν| of the activation below ``threshold``, where ν is well-posed."""
    return alive & pl.col("nu_valid").fill_null(False) & (pl.col("nu_activation").abs() < threshold).fill_null(False)


def chat_specific(two_sided: bool) -> pl.Expr:
    """Mask of the chat-specific latents of a crosscoder (two-sided) or an SAE."""
    return by_error_and_reconstruction if two_sided else by_activation(NU_ACTIVATION[0])


def rule_columns(two_sided: bool) -> list[str]:
    """Columns of the latent table that `chat_specific` reads."""
    return list(dict.fromkeys(chat_specific(two_sided).meta.root_names()))


def rank(dictionary: Dictionary, latents: pl.DataFrame) -> pl.DataFrame:
    """Live latents, the most chat-specific first: the chat-specific ones, then by ν; ill-posed ν come last.

    Crosscoders go by the summed ranks of |ν_r| and |ν_ε|, SAEs by |ν|.
    """
    live = latents.filter(alive)
    if dictionary.two_sided:
        order = pl.col("nu_reconstruction").abs().rank() + pl.col("nu_error").abs().rank()
    else:
        order = pl.when(pl.col("nu_valid").fill_null(False)).then(pl.col("nu_activation").abs())
    return live.with_columns(specific=chat_specific(dictionary.two_sided), order=order).sort(
        [pl.col("specific").not_(), "order", "latent"], nulls_last=True
    )


def rule(item: Dictionary) -> str:
    """Name among the calls of the rule by which `specific` counts."""
    return "nu_pair" if item.two_sided else "nu_0.3"


def specific(item: Dictionary) -> tuple[str, ...]:
    """Where a dictionary's count of chat-specific latents stands, by the rule for its kind."""
    return (
        "dictionaries",
        item.name,
        "chat_specific",
        "reconstruction_and_error" if item.two_sided else "activation_0.3",
    )
