import torch

from crossdiff.attribution.jackknife import clear_of_zero, jackknife, ratio, row_blocks


def test_equals_the_error_of_a_mean_for_equal_blocks():
    """For a mean of blocks of one size the jackknife is s/√K exactly."""
    part = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = jackknife(ratio, part, torch.ones_like(part))
    torch.testing.assert_close(found, part.std(0) / 12**0.5)


def test_known_spread_is_covered_at_the_stated_rate():
    """Ratios of sums over 20 blocks: the interval of 2.09 errors (t, 19) holds the true ratio about 95 times in 100."""
    generator = torch.Generator().manual_seed(1)
    whole = 5 + torch.rand(20, 4000, generator=generator, dtype=torch.float64)
    part = 0.3 * whole + 0.5 * torch.randn(20, 4000, generator=generator, dtype=torch.float64)
    error, se = part.sum(0) / whole.sum(0) - 0.3, jackknife(ratio, part, whole)
    covered = float((error.abs() < 2.093 * se).double().mean())
    assert 0.93 < covered < 0.97


def test_of_what_is_in_one_block_is_unknown():
    part = torch.tensor([[1.0, 2.0], [0.0, 3.0], [0.0, 1.0]])
    se = jackknife(ratio, part, part * 2)
    assert se.isnan().tolist() == [True, False]
    assert clear_of_zero(torch.tensor([0.5, 0.5]), se).tolist() == [False, True]


def test_clear_of_zero_takes_either_sign():
    found = clear_of_zero(torch.tensor([3.0, -3.0, 1.9, 0.0]), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert found.tolist() == [True, True, False, False]


def test_blocks_are_runs_of_the_rows_that_hold_a_token() -> None:
    row_N = torch.tensor([2, 2, 3, 5, 5, 5, 8, 9])
    block_R = row_blocks(row_N, 40, 2)
    assert block_R[[2, 3, 5, 8, 9]].tolist() == [0, 0, 0, 1, 1]
    assert int(block_R.max()) == 1
    # As many blocks as rows where these are fewer, wherever they lie: a streamed store keeps the first ones alone.
    assert row_blocks(row_N, 10_000, 20)[[2, 3, 5, 8, 9]].tolist() == [0, 1, 2, 3, 4]
    assert row_blocks(row_N[:0], 3, 20).tolist() == [0, 0, 0]
