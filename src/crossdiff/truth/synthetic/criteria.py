"""Exclusivity criteria as scores and calls, and how often they are right. Pure NumPy.

F latents. A criterion gives each latent a score, higher for more exclusive, and a call at the literature's threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossdiff.attribution.norms import BASE_ONLY, CHAT_ONLY
from crossdiff.attribution.specific import NU_ACTIVATION, NU_ERROR, NU_RECONSTRUCTION, by_pair

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Criterion:
    """A criterion on the latents of one dictionary."""

    score_F: Floats
    """−inf where it is not defined."""
    called_F: Bools


def criteria(columns: Mapping[str, NDArray[np.generic]], side: str) -> dict[str, Criterion]:
    """Criteria for latents of one ``side`` (chat, base) only, by name; those whose columns are missing are left out.

    delta_norm: Δ_norm > 0.9 (base: < 0.1). nu_pair: |ν_r| < 0.5 and |ν_ε| < 0.2. nu: |ν| < 0.3 where ν is well posed.
    The base direction's ν serve the base side.
    """
    suffix, found = ("_base" if side == "base" else ""), {}
    delta_F = _floats(columns, "delta_norm")
    if delta_F is not None:
        score_F = 1 - delta_F if side == "base" else delta_F
        found["delta_norm"] = Criterion(_ranked(score_F), delta_F < BASE_ONLY if suffix else delta_F > CHAT_ONLY)
    parts = [_floats(columns, f"nu_{target}{suffix}") for target in ("reconstruction", "error")]
    if parts[0] is not None and parts[1] is not None:
        worst_F = np.maximum(abs(parts[0]) / NU_RECONSTRUCTION, abs(parts[1]) / NU_ERROR)
        found["nu_pair"] = Criterion(_ranked(-worst_F), by_pair(*parts))
    nu_F = _floats(columns, f"nu_activation{suffix}")
    if nu_F is not None:
        nu_F = np.where(np.asarray(columns[f"nu_valid{suffix}"], dtype=bool), np.abs(nu_F), np.nan)
        found["nu"] = Criterion(_ranked(-nu_F), nu_F < NU_ACTIVATION)
    return found


def _floats(columns: Mapping[str, NDArray[np.generic]], name: str) -> Floats | None:
    """A column, or None where it is missing or holds nothing."""
    if name not in columns:
        return None
    values_F = np.asarray(columns[name], dtype=np.float64)
    return values_F if np.isfinite(values_F).any() else None


def _ranked(score_F: Floats) -> Floats:
    return np.where(np.isnan(score_F), -np.inf, score_F)


def precision(called_F: Bools, positive_F: Bools) -> float:
    """Share of the called that are positive; NaN if none is called."""
    return float(positive_F[called_F].mean()) if called_F.any() else float("nan")


def recall(called_F: Bools, positive_F: Bools) -> float:
    """Share of the positive that are called; NaN if none is positive."""
    return float(called_F[positive_F].mean()) if positive_F.any() else float("nan")


def auprc(score_F: Floats, positive_F: Bools) -> float:
    """Average precision, Σ (recall_k − recall_{k−1}) · precision_k over the distinct scores from the highest down.

    Latents of equal score enter together, so that their order decides nothing: a constant score gives the share of
    positives. NaN if none is positive.
    """
    if not positive_F.any():
        return float("nan")
    order = np.argsort(-score_F, kind="stable")
    sorted_F = score_F[order]
    last = np.append(sorted_F[1:] != sorted_F[:-1], True).nonzero()[0]
    hits = np.cumsum(positive_F[order])[last]
    gain = np.diff(hits, prepend=0) / hits[-1]
    return float((gain * hits / (last + 1)).sum())
