"""A latent's twins: the latents of other dictionaries and seeds whose decoder rows point the same way.

Rows are compared as the direction a latent writes in the chat model: the chat row of a crosscoder, the only row of an
SAE (of a diff-SAE, a direction of the difference). Shapes: F latents, D width, S shown latents.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open

Twin = tuple[int, int, float]
"""(dictionary, latent, cosine)."""
BLOCK = 4096
"""Latents of one dictionary that are compared at a time."""


def directions(weights: Path) -> np.ndarray:
    """Unit decoder rows [F, D] float32 of a dictionary file; a row of length 0 stays 0."""
    with safe_open(weights, "np") as archive:
        rows_FD = archive.get_tensor("decoder")[-1]
    length_F = np.linalg.norm(rows_FD, axis=1, keepdims=True)
    return rows_FD / np.where(length_F > 0, length_F, 1)


def best(shown_SD: np.ndarray, rows_FD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each shown unit row its most similar row of another dictionary: (its number [S], their cosine [S])."""
    latent_S = np.zeros(len(shown_SD), np.int64)
    cosine_S = np.full(len(shown_SD), -np.inf, np.float32)
    for start in range(0, len(rows_FD), BLOCK):
        product_SB = shown_SD @ rows_FD[start : start + BLOCK].T
        here_S = product_SB.argmax(1)
        value_S = product_SB[np.arange(len(here_S)), here_S]
        better_S = value_S > cosine_S
        latent_S[better_S], cosine_S[better_S] = here_S[better_S] + start, value_S[better_S]
    return latent_S, cosine_S


def twins(weights: Sequence[Path], latents: Sequence[Sequence[int]]) -> list[list[list[Twin]]]:
    """For each dictionary, for each of its ``latents``: its twin in every other one, best first."""
    every = [directions(file) for file in weights]
    found: list[list[list[Twin]]] = []
    for one, shown in enumerate(latents):
        matches: list[list[Twin]] = [[] for _ in shown]
        for other, rows_FD in enumerate(every):
            if other == one or rows_FD.shape[1] != every[one].shape[1] or not len(shown):
                continue
            pairs = zip(*best(every[one][list(shown)], rows_FD), strict=True)
            for place, (latent, cosine) in enumerate(pairs):
                matches[place].append((other, int(latent), round(float(cosine), 3)))
        found.append([sorted(group, key=lambda match: -match[2]) for group in matches])
    return found
