import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdiff.attribution.examples import Top, choose, examples, ranks


def brute(active_NF, row_N, each):
    """Top places of each latent, one a row, from dense activity."""
    out = []
    for latent in range(active_NF.shape[1]):
        best = {}
        for place, (row, value) in enumerate(zip(row_N.tolist(), active_NF[:, latent].tolist(), strict=True)):
            if value > 0 and value > best.get(row, (0.0, 0))[0]:
                best[row] = (value, place)
        out.append([place for _, place in sorted(best.values(), key=lambda item: -item[0])][:each])
    return out


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 60), st.integers(1, 25), st.integers(0, 10**6))
def test_top_tokens_equal_a_full_sort(each, tokens, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(tokens, 3, generator=generator) * (torch.rand(tokens, 3, generator=generator) < 0.5)
    row = torch.arange(tokens) // 7
    top = Top(3, each)
    for part in torch.arange(tokens).split(batch):
        token, latent = active[part].nonzero(as_tuple=True)
        top.add(latent, active[part][token, latent], row[part][token], part[token])
    assert [top.places(latent) for latent in range(3)] == brute(active, row, each)


def test_windows_stay_in_their_row_and_mark_masked_tokens():
    row, position = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 1, 2, 0, 2, 3, 4])
    top = Top(2, 2)
    top.add(torch.tensor([1, 1]), torch.tensor([1.0, 3.0]), torch.tensor([0, 1]), torch.tensor([2, 4]))
    activity = torch.tensor([0.0, 0.5, 1.0, 0.0, 3.0, 0.0, 0.25])
    found = list(examples(top, [0, 1], row, position, torch.tensor([3, 6]), 2, lambda places, _: activity[places]))
    first, second = found
    assert (first.latent, first.rank, first.row, first.position, first.first) == (1, 0, 1, 2, 0)
    torch.testing.assert_close(
        torch.tensor(first.activations), torch.tensor([0.0, torch.nan, 3.0, 0.0, 0.25]), equal_nan=True
    )
    assert (second.rank, second.row, second.first, second.activations) == (1, 0, 0, [0.0, 0.5, 1.0])


def test_choose_takes_specific_and_frequent_live_latents():
    order = torch.tensor([3.0, 0.0, 1.0, torch.nan, 2.0])
    frequency = torch.tensor([0.1, 0.0, 0.2, 0.9, 0.3])
    assert choose(order, frequency, 2) == [2, 3]
    assert choose(order, frequency, 10) == [0, 2, 3, 4]


def test_ranks():
    assert ranks(torch.tensor([3, 3, 7, 9, 9, 9])).tolist() == [0, 1, 0, 0, 1, 2]
