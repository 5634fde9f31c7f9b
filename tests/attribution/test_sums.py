import torch

from crossdiff.attribution.sums import weighted_sums


def test_equals_a_loop_for_unsorted_groups_and_leaves_empty_ones_zero():
    generator = torch.Generator().manual_seed(0)
    rows, groups = torch.randn(7, 3, generator=generator), torch.tensor([5, 1, 5, 0, 1, 5])
    index, value = torch.tensor([6, 0, 2, 3, 3, 6]), torch.randn(6, generator=generator)
    expected = torch.zeros(8, 3)
    for i, g, v in zip(index, groups, value, strict=True):
        expected[g] += v * rows[i]
    torch.testing.assert_close(weighted_sums(rows, index, groups, value, 8), expected)


def test_no_entries():
    none = torch.zeros(0, dtype=torch.int64)
    assert not weighted_sums(torch.ones(4, 2), none, none, torch.zeros(0), 3).any()
