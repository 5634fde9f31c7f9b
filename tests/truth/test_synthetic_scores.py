"""Scores on cases whose answer is known: perfect, random, empty and saturated."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.truth.synthetic.criteria import auprc, criteria, precision, recall
from crossdiff.truth.synthetic.factors import CLASSES
from crossdiff.truth.synthetic.learn import Firing
from crossdiff.truth.synthetic.match import assignment, cosines, mcc, nearest, similarity, targets, uniqueness
from crossdiff.truth.synthetic.presets import PRESETS
from crossdiff.truth.synthetic.scores import Known, angles, deciles, scores
from crossdiff.truth.synthetic.world import build

NONE = np.zeros(0)


def test_mcc_and_uniqueness_of_a_perfect_dictionary_in_any_order() -> None:
    unit_ND = torch.randn(12, 8)
    unit_ND /= unit_ND.norm(dim=1, keepdim=True)
    shuffled = 3 * unit_ND[torch.randperm(12)]
    assert mcc(cosines(shuffled, unit_ND)) == pytest.approx(1)
    assert uniqueness(cosines(shuffled, unit_ND)) == 1


def test_mcc_is_one_to_one_where_all_latents_are_the_same() -> None:
    assert mcc(cosines(torch.eye(4)[[0, 0, 0, 0]], torch.eye(4))) == 0.25
    assert uniqueness(cosines(torch.eye(4)[[0, 0, 0, 0]], torch.eye(4))) == 0.25


def test_mcc_of_random_directions_is_far_from_one() -> None:
    torch.manual_seed(0)
    assert mcc(cosines(torch.randn(40, 64), torch.randn(40, 64))) < 0.4


def test_matching_nothing_is_not_a_number() -> None:
    assert math.isnan(mcc(torch.zeros(0, 5)))
    assert math.isnan(uniqueness(torch.zeros(0, 5)))
    assert math.isnan(mcc(torch.zeros(5, 0)))
    assert nearest(torch.zeros(3, 0))[0].tolist() == [-1, -1, -1]


def test_matching_takes_the_best_total_not_the_best_pair() -> None:
    latent, factor = assignment(torch.tensor([[0.9, 0.8], [0.8, 0.1]]))
    assert list(zip(latent.tolist(), factor.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_a_latent_near_nothing_has_no_factor() -> None:
    assert nearest(torch.tensor([[0.49, 0.1], [0.2, 0.9]]))[0].tolist() == [-1, 1]


def test_a_diff_sae_sees_a_loss_in_base_as_the_negative() -> None:
    world = build(PRESETS["tiny"].design, 0)
    lost = int((world.factors.class_N == CLASSES.index("base-only")).nonzero()[0])
    target_NI = targets(world, "diff-sae")
    cosine_FN = cosines(-world.factors.unit_ND[[lost]], target_NI)
    assert cosine_FN[0, lost] == pytest.approx(1)
    assert nearest(similarity(-cosine_FN, "diff-sae"))[0].tolist() == [lost]
    assert not target_NI[world.factors.class_N == CLASSES.index("identical")].any()
    assert (target_NI[world.factors.class_N == CLASSES.index("regated")].norm(dim=1) > 0.9).all()


def test_auprc_of_known_orders() -> None:
    positive = np.array([True, False, True, False])
    assert auprc(np.array([4.0, 1.0, 3.0, 2.0]), positive) == 1
    assert auprc(np.array([1.0, 4.0, 2.0, 3.0]), positive) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert auprc(np.full(4, 7.0), positive) == 0.5
    assert auprc(np.array([-np.inf, -np.inf, 1.0, -np.inf]), positive) == pytest.approx(0.5 + 0.5 * 0.5)
    assert auprc(np.arange(4.0), np.ones(4, bool)) == 1
    assert math.isnan(auprc(np.arange(4.0), np.zeros(4, bool)))
    assert math.isnan(auprc(NONE, NONE.astype(bool)))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40), st.randoms())
def test_auprc_does_not_hang_on_the_order_and_equals_a_plain_sum(rows: Any, random: Any) -> None:
    def of(rows: Any) -> float:
        return auprc(np.array([float(score) for score, _ in rows]), np.array([hit for _, hit in rows]))

    total = sum(hit for _, hit in rows)
    plain, before = 0.0, 0.0
    for level in sorted({score for score, _ in rows}, reverse=True):
        taken = [hit for score, hit in rows if score >= level]
        if total:
            plain += (sum(taken) / total - before) * sum(taken) / len(taken)
            before = sum(taken) / total
    shuffled = random.sample(rows, len(rows))
    assert math.isnan(of(rows)) if not total else of(rows) == pytest.approx(plain)
    assert math.isnan(of(rows)) or of(rows) == pytest.approx(of(shuffled))


def test_precision_and_recall_of_nothing_and_of_all() -> None:
    hit, none, all_ = np.array([True, False]), np.zeros(2, bool), np.ones(2, bool)
    assert (precision(hit, hit), recall(hit, hit)) == (1, 1)
    assert (precision(all_, hit), recall(all_, hit)) == (0.5, 1)
    assert math.isnan(precision(none, hit))
    assert recall(none, hit) == 0
    assert math.isnan(recall(all_, none))
    assert precision(all_, none) == 0


def test_criteria_call_at_the_literatures_thresholds() -> None:
    columns = {
        "delta_norm": np.array([0.95, 0.9, 0.05, np.nan]),
        "nu_reconstruction": np.array([0.4, 0.6, 0.1, np.nan]),
        "nu_error": np.array([0.1, 0.1, -0.3, 0.0]),
        "nu_activation": np.array([-0.2, 0.2, -0.4, 0.1]),
        "nu_valid": np.array([True, False, True, True]),
    }
    found = criteria(columns, "chat")
    assert found["delta_norm"].called_F.tolist() == [True, False, False, False]
    assert found["nu_pair"].called_F.tolist() == [True, False, False, False]
    assert found["nu"].called_F.tolist() == [True, False, False, True]
    assert (found["nu"].score_F == [-0.2, -np.inf, -0.4, -0.1]).all()
    assert found["delta_norm"].score_F[3] == -np.inf
    assert criteria(columns, "base")["delta_norm"].called_F.tolist() == [False, False, True, False]
    assert set(criteria(columns, "base")) == {"delta_norm"}


def test_firing_f1() -> None:
    firing = Firing(torch.tensor([[4.0, 0.0], [0.0, 0.0]]), torch.tensor([4.0, 0.0]), torch.tensor([8.0, 0.0]))
    assert torch.allclose(firing.f1(), torch.tensor([[2 / 3, 0.0], [0.0, 0.0]]))


def test_deciles_are_of_equal_size_and_rise_with_frequency() -> None:
    decile_N = deciles(np.arange(30.0)[::-1])
    assert np.bincount(decile_N)[1:].tolist() == [3] * 10
    assert (decile_N[0], decile_N[-1]) == (10, 1)


def test_angles_between_rows() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    other = torch.tensor([[0.0, 2.0], [3.0, 3.0], [1.0, 0.0]])
    found = angles(rows, other)
    assert found[:2] == pytest.approx([90, 45], abs=1e-3)
    assert math.isnan(found[2])


def perfect(delta: list[float], live: list[bool] | None = None) -> Known:
    """Four factors, one latent each: identical, chat-only, base-only, rotated by 30°."""
    class_N = np.array([CLASSES.index(name) for name in ("identical", "chat-only", "base-only", "rotated")])
    base, chat = torch.eye(4), torch.eye(4)
    base[1], chat[2] = 0, 0
    chat[3] = torch.tensor([0.5, 0, 0, 3**0.5 / 2])
    both = torch.cat([base, chat], 1)
    return Known(
        columns={"delta_norm": np.array(delta)},
        live_F=np.array(live or [True] * 4),
        factor_F=np.arange(4),
        f1_F=np.ones(4),
        class_N=class_N,
        effect_N=np.array([0, 1.0, 2.0, 30.0]),
        frequency_N=np.array([0.1, 0.2, 0.3, 0.4]),
        angle_N=angles(base, chat),
        similarity={"joint": cosines(both, both)},
        present={"joint": torch.ones(4, dtype=torch.bool)},
        decoder_LFD=torch.stack([base, chat]),
        sides=("chat", "base"),
    )


def value(known: Known, score: str, **labels: str) -> float:
    wanted = {"criterion": None, "side": None, "class": None, "bucket": None} | labels
    (found,) = [
        row["value"]
        for row in scores(known, {})
        if row["score"] == score and all(row[k] == v for k, v in wanted.items())
    ]
    return found


def test_a_perfect_dictionary_has_perfect_scores() -> None:
    known = perfect([0.5, 1.0, 0.0, 0.5])
    for score in ("mcc_joint", "uniqueness", "firing_f1", "matched", "recovered"):
        assert value(known, score) == pytest.approx(1, abs=1e-6)
    assert value(known, "dead") == 0
    for side, effect, name in (("chat", "effect 1", "chat-only"), ("base", "effect 2", "base-only")):
        for score in ("precision", "recall", "auprc"):
            assert value(known, score, criterion="delta_norm", side=side, **{"class": "exclusive"}) == 1
        assert value(known, "called", criterion="delta_norm", side=side) == 1
        assert value(known, "found", criterion="delta_norm", side=side, bucket=effect, **{"class": name}) == 1
        assert value(known, "call_rate", criterion="delta_norm", side=side, **{"class": "identical"}) == 0
    assert value(known, "rotation_error", **{"class": "rotated"}) == pytest.approx(0, abs=1e-3)
    assert value(known, "twin_rate") == 0


def test_a_criterion_that_calls_everything_has_full_recall_and_the_base_rate_as_precision() -> None:
    known = perfect([0.95] * 4)
    assert value(known, "recall", criterion="delta_norm", side="chat", **{"class": "exclusive"}) == 1
    assert value(known, "precision", criterion="delta_norm", side="chat", **{"class": "exclusive"}) == 0.25
    assert value(known, "auprc", criterion="delta_norm", side="chat", **{"class": "exclusive"}) == 0.25
    assert value(known, "call_rate", criterion="delta_norm", side="chat", **{"class": "rotated"}) == 1


def test_a_dead_dictionary_scores_nothing() -> None:
    known = perfect([0.5, 1.0, 0.0, 0.5], [False] * 4)
    assert value(known, "dead") == 1
    assert value(known, "recovered") == 0
    assert math.isnan(value(known, "mcc_joint"))
    assert math.isnan(value(known, "recall", criterion="delta_norm", side="chat", **{"class": "exclusive"}))
    assert value(known, "called", criterion="delta_norm", side="chat") == 0


def test_one_concept_split_in_two_is_a_twin() -> None:
    known = perfect([0.5, 1.0, 0.0, 0.5])
    assert known.decoder_LFD is not None
    decoder_LFD = known.decoder_LFD.clone()
    decoder_LFD[0, 2] = decoder_LFD[1, 1]
    assert value(replace(known, decoder_LFD=decoder_LFD), "twin_rate") == 1
