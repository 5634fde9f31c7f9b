"""Calls in metrics.json and on the page: means over seeds, and a stated rate that is not held is said."""

import numpy as np
import pytest
from study_files import calls_results, make_config, report, write_study

from crossdiff.report.calls import beside_the_null, by_chance, calibration, calls, copied, held, strangest


@pytest.fixture
def records():
    return {"cc": calls_results(np.random.default_rng(0), 2)}


def test_calibration_is_means_over_held_out_seeds(records):
    entries = calibration(records)
    assert {"source", "criterion", "nominal", "observed", "recall", "seeds"} <= entries[0].keys()
    first = entries[0]
    assert first["criterion"] == "chat-specific, calibrated"
    assert (first["seeds"], first["observed"]["n"], first["observed"]["mean"]) == (3, 3, pytest.approx(0.3))
    assert (first["recall"]["mean"], first["recall"]["n"]) == (pytest.approx(0.6), 2)
    assert 0 <= first["observed"]["low"] < first["observed"]["high"] <= 1
    # Of 10, 12 and 9 calls with an answer .3, .2 and .4 were false; the second seed had one more without.
    assert first["at_most"]["mean"] == pytest.approx((0.3 + (0.2 * 12 + 1) / 13 + 0.4) / 3)


def test_held_is_at_most_half_again_the_stated_rate(records):
    assert [held(entry) for entry in calibration(records)] == [False, True, None]


def test_counts_are_means_and_undefined_numbers_have_no_name(records):
    tree = calls(records["cc"])
    values = records["cc"]["counts"]["calibrated"]["chat-specific"]
    assert tree["counts"]["calibrated"]["chat-specific"]["mean"] == np.mean(values)
    assert tree["stability"]["calibrated"] == {
        "jaccard": 0.2, "jaccard_chance": 0.01, "in_most": 2,
        "in_most_chance": {"mean": 0.4, "low": 0.0, "high": 1, "n": 9},
    }  # fmt: skip
    assert calls(calls_results(np.random.default_rng(0), 1))["stability"] == {}
    three = calls(calls_results(np.random.default_rng(0), 3))["stability"]["calibrated"]["jaccard"]
    assert three == {"mean": 0.2, "low": 0.0, "high": 0.5, "n": 3}


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_page_and_metrics(tmp_path, seeds):
    config = make_config(seeds=seeds, names=("crosscoder-batchtopk", "diff-sae"))
    written = report(write_study(tmp_path, config), config)
    assert len(written.metrics["calibration"]) == 6
    assert "metrics.json#/dictionaries/diff-sae/calls/counts/calibrated/chat-specific" in written.page
    assert "is met wherever it was tested (1½ times counts as met)" in written.page


def test_the_consensus_list_is_counted_and_shown(planted, plain):
    assert planted.metrics["dictionaries"]["diff-sae"]["calls"]["consensus"] == 2
    for name in planted.config.dictionaries:
        assert f'1: <a href="#latent={name}/1/41">41</a> · 0: <a href="#latent={name}/0/9">9</a>' in planted.page
    assert "consensus" not in plain.metrics["dictionaries"]["chat-sae"]["calls"]
    assert "Which of them do the seeds agree on?" not in plain.page


def test_the_same_counts_on_the_null_tune_stand_beside(planted, plain):
    named = planted.metrics["dictionaries"]["crosscoder-l1"]["calls"]["null_tune"]
    assert set(named) == {"nu_0.3", "nu_pair", "calibrated on the synthetic null"}
    assert named["nu_pair"]["chat-specific"]["null"] == 4
    assert "metrics.json#/dictionaries/diff-sae/calls/null_tune/nu_0.3/chat-specific/null" in planted.page
    assert (
        "<strong>No chat-specific latent can be told from what a null tune adds</strong>: at a nominal" in planted.page
    )
    assert (
        "the <em>null tune</em>, another tune of the same base, on nothing that is looked for, upholds none of them"
        in planted.page
    )
    assert "On the null tune Latent Scaling names" in planted.page
    assert plain.metrics["dictionaries"]["chat-sae"]["calls"]["null_tune"] == {}
    assert "was not measured" in plain.page


def test_counts_that_are_0_on_both_are_left_out():
    zero, some = {"pair": 0.0, "null": 0.0}, {"pair": 0.0, "null": {"mean": 2.0, "low": 1.0, "high": 3.0, "n": 3}}
    tree = {"null_tune": {"nu_0.3": {"chat-specific": some}, "delta_norm": {"chat-specific": zero}}}
    assert beside_the_null(tree) == [("nu_0.3", "|ν| < 0.3", "chat-specific")]


def test_shares_end_at_one_and_counts_do_not(records):
    wide = {"mean": 0.9, "low": 0.4, "high": 1.4, "n": 3}
    records["cc"]["stability"] = {"all": {"near": wide, "reappears": wide}}
    found = calls(records["cc"])["stability"]["all"]
    assert (found["near"]["high"], found["reappears"]["high"]) == (1.4, 1.0)


def test_copies_are_told_where_there_are_any(records):
    assert copied(calls(records["cc"])) == {("nu_0.3", "chat-specific")}


@pytest.mark.parametrize(("seen", "expected"), [(1, True), (2, False)])
def test_what_seeds_share_is_held_against_chance(seen, expected):
    numbers = {"in_most": seen, "in_most_chance": {"mean": 0.4, "low": 0, "high": 1, "n": 9}}
    assert by_chance({"stability": {"calibrated": numbers}}, "calibrated", "in_most") is expected
    assert not by_chance({"stability": {}}, "calibrated", "in_most")


def test_the_strangest_null_is_named_only_where_p_is_small_too_often(records):
    tree = calls(records["cc"])["ranks"]
    assert tree["synthetic null"]["chat-specific"]["0.01"]["mean"] == 1
    assert strangest(tree, 0.01) is None
    worse = {"real null": {"rotated": {"0.01": 6.5}, "rescaled": {"0.01": 3.0}}}
    assert strangest(worse, 0.01) == ("real null", "rotated")
    assert strangest({}, 0.01) is None
