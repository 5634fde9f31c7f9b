"""Peaks, bins and windows against plain Python over dense activity."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import make_dictionary, make_pairs

from crossdiff.activations.store import Block
from crossdiff.examples.windows import QUANTILES, Peaks, Tokens, examples, find_peaks, pick


def brute(active_NF, row_N):
    """{row: (peak, its place)} of each latent."""
    out = []
    for latent in range(active_NF.shape[1]):
        best = {}
        for place, (row, value) in enumerate(zip(row_N.tolist(), active_NF[:, latent].tolist(), strict=True)):
            if value > best.get(row, (0.0, 0))[0]:
                best[row] = (value, place)
        out.append(best)
    return out


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 25), st.integers(0, 10**6))
def test_peaks_equal_a_look_at_every_token(tokens, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    # Coarse values, so that rows have equal peaks; rows are cut by batches.
    active = torch.randint(0, 4, (tokens, 3), generator=generator).float()
    row = torch.arange(tokens) // 7
    peaks = Peaks(int(row.max()) + 1, 3)
    for part in torch.arange(tokens).split(batch):
        peaks.add(active[part], row[part], int(part[0]))
    for latent, best in enumerate(brute(active, row)):
        for number in range(int(row.max()) + 1):
            value, place = best.get(number, (0.0, 0))
            assert peaks.active_RS[number, latent] == value
            assert not value or peaks.place_RS[number, latent] == place


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_peaks_of_chosen_latents_are_those_of_the_whole_dictionary(kind):
    dictionary, x = make_dictionary(kind), make_pairs(90)
    row = torch.arange(90) // 9 * 5 + 2
    empty = torch.zeros(0)
    blocks = [Block(part, empty, empty, empty, empty) for part in x.split(40)]
    found = find_peaks(dictionary, [7, 2], row, blocks)
    active = dictionary.encode(dictionary.read(x)) * dictionary.score_weight()
    expected = torch.stack([active[row == number].amax(0) for number in row.unique()])[:, [7, 2]]
    torch.testing.assert_close(found.active_RS, expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0.0625, 9, width=32)), min_size=1, max_size=60),
    st.integers(0, 9),
    st.integers(0, 4),
    st.integers(0, 99),
)
def test_every_bin_gets_its_rows(values, strongest, each, seed):
    active = torch.tensor(values)
    row, bins, among = (column.tolist() for column in pick(active, strongest, each, seed))
    assert len(set(row)) == len(row)
    peak = active[row].tolist()
    assert peak == sorted(peak, reverse=True)
    assert peak[:strongest] == sorted((value for value in active.tolist() if value), reverse=True)[:strongest]
    top = max(active.tolist())
    of_row = [
        next(n for n, edge in enumerate(QUANTILES) if value <= edge * top) for value in active.tolist() if value > 0
    ]
    assert bins == [next(n for n, edge in enumerate(QUANTILES) if value <= edge * top) for value in peak]
    for number in range(len(QUANTILES)):
        kept, there = bins.count(number), of_row.count(number)
        assert kept >= min(each, there)
        assert kept <= max(each, bins[:strongest].count(number))
        assert {count for count, bin_ in zip(among, bins, strict=True) if bin_ == number} <= {there}


def test_the_draw_is_random_over_rows_and_repeats_itself():
    active = torch.full((200,), 0.5)
    active[0] = 4.0
    drawn = [pick(active, 1, 5, seed).row_K.tolist() for seed in range(40)]
    assert drawn[3] == pick(active, 1, 5, 3).row_K.tolist()
    rows = [row for found in drawn for row in found[1:]]
    assert len(set(rows)) > 100
    assert 70 < sum(rows) / len(rows) < 130


def test_windows_stay_in_their_row_and_mark_masked_tokens():
    row, position = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 1, 2, 0, 2, 3, 4])
    activity = torch.tensor([[0.0, 0.0], [0.0, 0.5], [0.0, 1.0], [0.0, 0.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.25]])
    peaks = Peaks(2, 2)
    peaks.add(activity, row, 0)
    tokens = Tokens(row.numpy(), position.numpy(), np.array([3, 6]))
    found = list(examples(peaks, [8, 9], tokens, 2, 1, 2, lambda places, latent: activity[places, latent - 8]))
    first, second = found
    assert (first.latent, first.rank, first.row, first.position, first.first) == (9, 0, 1, 2, 0)
    assert (first.bin, second.bin, first.among) == (4, 1, 1)
    torch.testing.assert_close(
        torch.tensor(first.activations), torch.tensor([0.0, torch.nan, 3.0, 0.0, 0.25]), equal_nan=True
    )
    assert (second.rank, second.row, second.first, second.activations) == (1, 0, 0, [0.0, 0.5, 1.0])


def test_examples_carry_every_reading():
    row, position = torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 3, 4])
    table = torch.tensor([[0.0, 1, 2], [3, 4, 5], [6, 7, 8], [3, 10, 11]])
    peaks = Peaks(1, 1)
    peaks.add(table[:, :1], row, 0)
    tokens = Tokens(row.numpy(), position.numpy(), np.array([5]))
    (found,) = examples(peaks, [0], tokens, 1, 0, 2, lambda places, _: table[places])
    assert found.position == 3
    assert found.activations[0] == 3
    assert [str(value) for value in found.readings[0]] == ["4.0", "nan", "7.0", "10.0"]
    assert [reading[2] for reading in found.readings] == [7, 8]
