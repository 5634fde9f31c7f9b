"""What interventions, positions and edits are called in words, and the order they are shown in."""

HALVES = {
    "best-delta": "first by Δ_norm",
    "worst-delta": "last by Δ_norm",
    "best-nu": "first by ν",
    "worst-nu": "last by ν",
}
INTERVENTIONS = {
    "none": "base stream, unedited",
    "base": "base model itself",
    "chat-to-base": "chat stream in the base's top",
    "template": "chat stream on template tokens only",
    "outliers": "chat stream on high-norm tokens only",
    "components": "principal components of the difference",
    "all": "all latents",
    "all-with-bias": "all latents and bias",
    "full": "whole reconstruction",
    "error": "everything but the latents",
    "bias": "bias only",
    "minus-bias": "bias taken away",
    **HALVES,
    **{f"{name}-additive": f"{half}, added to base's" for name, half in HALVES.items()},
    **{f"{name}-with-bias": f"{half} and bias" for name, half in HALVES.items()},
    "opposite-nu": "opposite tail by ν",
    "delta-0.7": "Δ_norm from 0.7",
    **{f"nu-{limit}": f"|ν| up to {limit}" for limit in (0.6, 0.3, 0.1)},
    "random": "random set of that size",
}
POSITIONS = {
    "all": "all assistant tokens",
    "first9": "first nine tokens of each answer",
    "later": "later tokens of each answer",
}
MAIN_POSITIONS = ("all", "first9")
"""Those that figures of several dictionaries show side by side."""
EDITS = {"remove": "removed from the chat model", "add": "added to the base model"}
DIRECTIONS = {
    "mean-difference": "mean difference",
    "mean-difference-roles": "mean difference by role",
    "pca": "principal components",
    "kl": "KL of the models",
}
"""What needs no dictionary."""
WHOLE = ("all-with-bias", "full", "all")
"""Interventions that stand for a dictionary as a whole; the first one present."""


def undictionaried(components: int) -> dict[str, str]:
    """Interventions without a dictionary that stand beside those with one, and what they are in few words."""
    return {"template": "template tokens alone", "components": f"{components} principal components"}


def intervention(name: str) -> str:
    """In words; an unknown name stands for itself."""
    return INTERVENTIONS.get(name, name)


def ordered(names: list[str]) -> list[str]:
    """Known interventions in their order, then others as they came."""
    known = list(INTERVENTIONS)
    return sorted(names, key=lambda name: known.index(name) if name in known else len(known))


def whole(names: list[str] | dict) -> str | None:
    """The intervention that stands for the whole dictionary."""
    return next((name for name in WHOLE if name in names), None)
