import numpy as np
import pytest

from crossdiff.evidence.intervals import posed, recovered_share, token_mean


def width(interval):
    return interval["high"] - interval["low"]


def test_correlation_inside_conversations_widens_the_interval():
    generator = np.random.default_rng(0)
    alone = generator.normal(1.0, 1.0, (60, 50))
    together = np.repeat(generator.normal(1.0, 1.0, (60, 1)), 50, axis=1)
    tokens = np.full(60, 50)
    apart, alike = (token_mean(kl.sum(1), tokens, 1000, 0) for kl in (alone, together))
    assert width(alike) > 4 * width(apart)
    assert apart["n"] == 60
    assert apart["low"] < apart["mean"] < apart["high"]
    assert width(apart) == pytest.approx(2 * 1.96 / np.sqrt(3000), rel=0.3)


def test_mean_is_over_tokens_not_conversations():
    assert token_mean([10.0, 1.0], [10, 10_000], 100, 0)["mean"] == pytest.approx(11 / 10_010)


def test_recovered_share_is_paired():
    none = np.random.default_rng(1).uniform(0.1, 10, 40)
    found = recovered_share(none, 0.4 * none, 500, 0)
    assert found["mean"] == pytest.approx(0.6)
    assert width(found) < 1e-9
    assert recovered_share(none, none, 500, 0)["mean"] == pytest.approx(0)


def test_a_share_of_nothing_is_refused():
    """Two models that differ by rounding alone: the edit "recovers" −900 % of their KL."""
    none = np.full(8, 1e-7)
    found = recovered_share(none, 10 * none, 100, 0)
    assert np.isnan(found["mean"])
    assert found["n"] == 8
    assert not posed(none)
    assert not posed([])
    assert posed(np.full(8, 0.1))


def test_seeds_repeat_and_one_conversation_has_no_interval():
    kl, tokens = np.arange(1.0, 9), np.full(8, 4)
    assert token_mean(kl, tokens, 200, 3) == token_mean(kl, tokens, 200, 3)
    single = token_mean([2.0], [4], 200, 0)
    assert single["mean"] == 0.5
    assert single["n"] == 1
    assert np.isnan(single["low"])
