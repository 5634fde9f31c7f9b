"""All scores of one dictionary on one synthetic pair, as tidy rows. Pure NumPy and torch.

A row: score, criterion and side (exclusivity only), class (of the factors it is about, if not all), bucket (an effect
or a decile of frequency, if not all), value (NaN where nothing is there to be scored).
F latents, N factors, D width.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossdiff.truth.synthetic.criteria import Bools, Criterion, Floats, auprc, criteria, precision, recall
from crossdiff.truth.synthetic.factors import CLASSES
from crossdiff.truth.synthetic.match import cosines, mcc, uniqueness

EXCLUSIVE = {"chat": ("chat-only", "child-new"), "base": ("base-only",)}
"""Classes that a criterion of a side ought to call. A re-gated factor is in both models, so a call of it is wrong."""
RECOVERED = 0.8
"""Similarity from which a factor counts as recovered by some latent."""
TWIN = 0.9
"""Cosine from which a chat-only and a base-only latent are twins (study_spec §1.9)."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """The latents of one dictionary beside the truth."""

    columns: Mapping[str, NDArray[np.generic]]
    """Attribution's columns."""
    live_F: Bools
    factor_F: NDArray[np.int64]
    """Factor each latent stands for, −1 for none."""
    f1_F: Floats
    """Firing F1 with that factor; NaN for none."""
    class_N: NDArray[np.int64]
    effect_N: Floats
    frequency_N: Floats
    angle_N: Floats
    """True degrees between the models' directions; NaN where one lacks the factor."""
    similarity: dict[str, Tensor] = field(default_factory=dict)
    """[F, N] by what is compared: joint, base, chat; factors that are not there left out of none."""
    present: dict[str, Tensor] = field(default_factory=dict)
    """bool [N] by the same names: factors that are there."""
    decoder_LFD: Tensor | None = None
    """Both models' decoder rows of a crosscoder."""
    sides: tuple[str, ...] = ("chat",)

    def class_F(self) -> NDArray[np.str_]:
        """True class of each latent."""
        names = np.array([*CLASSES, "none"])
        return names[np.where(self.factor_F < 0, len(CLASSES), self.class_N[self.factor_F])]


def scores(known: Known, measures: Mapping[str, float]) -> list[Row]:
    """Every score, and ``measures`` that were taken elsewhere."""
    rows = [
        *(_row(name, value) for name, value in measures.items()),
        *matching(known),
        *recovery(known),
        *rotation(known),
        *twins(known),
    ]
    for side in known.sides:
        for name, criterion in criteria(known.columns, side).items():
            rows += exclusivity(known, side, name, criterion)
    return rows


def _row(score: str, value: float, **labels: str) -> Row:
    return {"score": score, "criterion": None, "side": None, "class": None, "bucket": None} | labels | {"value": value}


def matching(known: Known) -> Iterator[Row]:
    """MCC by what is compared, uniqueness, firing F1, shares of latents that are dead and that stand for a factor."""
    live_F = torch.as_tensor(known.live_F)
    for name, similarity_FN in known.similarity.items():
        there_FN = similarity_FN.cpu()[live_F][:, known.present[name].cpu()]
        yield _row(f"mcc_{name}", mcc(there_FN))
        if name == "joint":
            yield _row("uniqueness", uniqueness(there_FN))
    matched_F = known.live_F & (known.factor_F >= 0)
    yield _row("firing_f1", _mean(known.f1_F[matched_F]))
    yield _row("matched", _mean(matched_F[known.live_F]))
    yield _row("dead", _mean(~known.live_F))


def exclusivity(known: Known, side: str, name: str, criterion: Criterion) -> Iterator[Row]:
    """Precision, recall and AUPRC of a criterion, over all exclusive classes and for each alone, over live latents.

    A class alone is held against the latents that are not exclusive. call_rate is the share of a class's latents that
    are called, ``none`` being those near no factor; called counts them.
    """
    labels = {"side": side, "criterion": name}
    class_F = known.class_F()[known.live_F]
    score_F, called_F = criterion.score_F[known.live_F], criterion.called_F[known.live_F]
    exclusive_F = np.isin(class_F, EXCLUSIVE[side])
    yield _row("called", float(called_F.sum()), **labels)
    yield _row("call_rate", _mean(called_F), **labels)
    for which in ("exclusive", *EXCLUSIVE[side]):
        positive_F = exclusive_F if which == "exclusive" else class_F == which
        among_F = positive_F | ~exclusive_F
        there = called_F[among_F], positive_F[among_F]
        yield _row("precision", precision(*there), **labels, **{"class": which})
        yield _row("recall", recall(*there), **labels, **{"class": which})
        yield _row("auprc", auprc(score_F[among_F], there[1]), **labels, **{"class": which})
    for which in (*CLASSES, "none"):
        yield _row("call_rate", _mean(called_F[class_F == which]), **labels, **{"class": which})
    found_N = np.zeros(len(known.class_N), dtype=bool)
    called = known.factor_F[known.live_F][called_F]
    found_N[called[called >= 0]] = True
    yield from bucketed("found", found_N, known, EXCLUSIVE[side], labels)


def recovery(known: Known) -> Iterator[Row]:
    """Share of the factors that some live latent is near, by class, effect and frequency."""
    similarity_FN = known.similarity["joint"].cpu()[torch.as_tensor(known.live_F)]
    near_N = (similarity_FN >= RECOVERED).any(0).numpy()
    there_N = known.present["joint"].cpu().numpy()
    classes = [name for number, name in enumerate(CLASSES) if (there_N & (known.class_N == number)).any()]
    yield from bucketed("recovered", near_N, known, classes, {})


def bucketed(
    score: str, hit_N: Bools, known: Known, classes: "list[str] | tuple[str, ...]", labels: dict[str, str]
) -> Iterator[Row]:
    """Share of factors hit: over ``classes`` together by decile of frequency, and for each by effect."""
    numbers = [CLASSES.index(name) for name in classes]
    chosen_N = np.isin(known.class_N, numbers)
    yield _row(score, _mean(hit_N[chosen_N]), **labels)
    decile_N = deciles(known.frequency_N)
    for decile in range(1, 11):
        yield _row(score, _mean(hit_N[chosen_N & (decile_N == decile)]), **labels, bucket=f"decile {decile}")
    for name, number in zip(classes, numbers, strict=True):
        mine_N = known.class_N == number
        yield _row(score, _mean(hit_N[mine_N]), **labels, **{"class": name})
        for effect in np.unique(known.effect_N[mine_N]):
            here_N = mine_N & (known.effect_N == effect)
            yield _row(score, _mean(hit_N[here_N]), **labels, **{"class": name}, bucket=f"effect {effect:g}")


def deciles(frequency_N: Floats) -> NDArray[np.int64]:
    """Decile of each factor's frequency among all, 1 (rarest) to 10; equal frequencies by place."""
    rank_N = np.argsort(np.argsort(frequency_N, kind="stable"), kind="stable")
    return 1 + rank_N * 10 // max(1, len(frequency_N))


def rotation(known: Known) -> Iterator[Row]:
    """Mean |angle between a crosscoder latent's decoder rows − true angle|, degrees, of latents for shared factors."""
    if known.decoder_LFD is None:
        return
    angle_F = angles(*known.decoder_LFD)
    error_F = np.abs(angle_F - known.angle_N[known.factor_F])
    class_F, effect_F = known.class_F(), known.effect_N[known.factor_F]
    for name in ("identical", "rotated"):
        mine_F = known.live_F & (class_F == name)
        yield _row("rotation_error", _mean(error_F[mine_F]), **{"class": name})
        for effect in np.unique(effect_F[mine_F]) if name == "rotated" else ():
            here_F = mine_F & (effect_F == effect)
            yield _row("rotation_error", _mean(error_F[here_F]), **{"class": name}, bucket=f"effect {effect:g}")


def angles(base_FD: Tensor, chat_FD: Tensor) -> Floats:
    """Degrees between paired rows [F]; NaN where one of them is 0."""
    length_F = base_FD.norm(dim=1) * chat_FD.norm(dim=1)
    cosine_F = ((base_FD * chat_FD).sum(1) / length_F).clamp(-1, 1)
    return torch.rad2deg(cosine_F.arccos()).cpu().double().numpy()


def twins(known: Known) -> Iterator[Row]:
    """Share of the latents called chat-only by Δ_norm that have a twin among those called base-only.

    Twins point the same way (cosine of d^c and d^b above 0.9): one concept of both models, split in two.
    """
    if known.decoder_LFD is None:
        return
    called = [criteria(known.columns, side)["delta_norm"].called_F & known.live_F for side in ("chat", "base")]
    chat_F, base_F = (torch.as_tensor(each) for each in called)
    decoder_LFD = known.decoder_LFD.cpu()
    cosine_CB = cosines(decoder_LFD[1][chat_F], decoder_LFD[0][base_F])
    yield _row("twin_rate", _mean((cosine_CB > TWIN).any(1).numpy()))


def _mean(values: NDArray[np.generic]) -> float:
    """Mean; NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")
