"""A cheap generator of latent tables with known classes: what attribution would measure, drawn from a mixture.

Null latents spread as measured ones do: by 1/√(active tokens), with heavy tails, about a centre that drifts with
frequency. Nothing of it is known to the procedure under test.
"""

from collections.abc import Mapping

import numpy as np

TOKENS, BLOCKS = 80_000, 20
SHARES = {"chat-only": 0.04, "base-only": 0.04, "rotated": 0.04, "rescaled": 0.06}


def make_latents(
    seed: int,
    kind: str = "crosscoder",
    latents: int = 2000,
    shares: Mapping[str, float] = SHARES,
    unmatched: float = 0.0,
    centre: float = 1.0,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(columns of a latent table, class of each latent); what ``shares`` leave over is identical, "" is no class."""
    rng = np.random.default_rng(seed)
    names = [*shares, "identical"]
    classes = rng.choice(names, latents, p=[*shares.values(), 1 - sum(shares.values())]).astype(object)
    frequency = np.exp(rng.uniform(np.log(3e-4), np.log(0.1), latents))
    active = rng.binomial(TOKENS, frequency)
    spread = 0.3 / np.sqrt(np.maximum(active, 1))
    drift = centre - 0.01 * np.log10(frequency)

    def noise() -> np.ndarray:
        return spread * rng.standard_t(5, latents)

    def among(**values: object) -> np.ndarray:
        """The value of each latent's class, 1 for the classes that are not named."""
        out = np.ones(latents)
        for name, value in values.items():
            here = classes == name.replace("_", "-")
            out[here] = np.broadcast_to(value, latents)[here]
        return out

    gone, part = rng.uniform(-0.1, 0.1, latents), rng.choice([0.7, 1.4], latents)
    angle = rng.uniform(0.3, 0.7, latents)
    columns: dict[str, np.ndarray] = {
        "frequency": frequency.astype(np.float32),
        "dead": active == 0,
        "active_blocks": np.minimum(active, BLOCKS),
        "nu_centred": drift * among(chat_only=gone, rotated=angle, rescaled=1 / part) + noise(),
        "nu_centred_base": drift * among(base_only=gone, rotated=angle, rescaled=part) + noise(),
        "strength_ratio": np.log(among(chat_only=8, base_only=1 / 8, rescaled=part)) + 0.02 + noise(),
        "cosine": 1 - 0.02 * rng.gamma(2, 1, latents) * among(rotated=8, chat_only=10, base_only=10),
    }
    columns["nu_activation"] = columns["nu_centred"] + noise()
    columns["nu_reconstruction"], columns["nu_error"] = columns["nu_centred"] + noise(), columns["nu_centred"] + noise()
    columns["nu_reconstruction_base"] = columns["nu_error_base"] = columns["nu_centred_base"]
    for name in ("nu_centred_se", "nu_centred_se_base", "strength_ratio_se", "delta_fitted_se"):
        columns[name] = spread * rng.uniform(0.8, 1.2, latents)
    for name in ("nu_centred_valid", "nu_centred_valid_base", "nu_valid"):
        columns[name] = np.ones(latents, dtype=bool)
    size = np.exp(columns["strength_ratio"])
    columns["delta_fitted"] = 0.5 * (1 + (size - 1) / np.maximum(size, 1))
    columns["delta_norm"] = columns["delta_fitted"]
    if kind == "diff-sae":
        apart = among(chat_only=6, base_only=-6, rotated=0, rescaled=0, identical=0)
        columns["separation_difference"] = 0.1 * apart + noise()
        columns["separation_difference_se"] = spread
        columns["separation_chat_margin"] = np.where(classes == "chat-only", 0.2, -0.2) + noise()
        columns["separation_base_margin"] = np.where(classes == "base-only", 0.2, -0.2) + noise()
        for model in ("chat", "base"):
            columns[f"separation_{model}_margin_se"] = spread
    classes[rng.random(latents) < unmatched] = ""
    return columns, classes


def make_null(seed: int, kind: str = "crosscoder", latents: int = 2000) -> dict[str, np.ndarray]:
    """A table of null latents only."""
    return make_latents(seed, kind, latents, shares={})[0]
