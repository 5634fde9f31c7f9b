import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdiff.attribution.maxima import Maxima, first_of_each, ranks


def brute(active_NF: torch.Tensor, row_N: torch.Tensor, each: int) -> list[tuple[int, int]]:
    """(latent, place) of each latent's strongest rows, one place a row, from dense activity."""
    out = []
    for latent in range(active_NF.shape[1]):
        best: dict[int, tuple[float, int]] = {}
        for place, (row, value) in enumerate(zip(row_N.tolist(), active_NF[:, latent].tolist(), strict=True)):
            if value > 0 and value > best.get(row, (0.0, 0))[0]:
                best[row] = (value, place)
        out += [(latent, place) for _, place in sorted(best.values(), key=lambda item: -item[0])[:each]]
    return out


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 60), st.integers(1, 25), st.integers(0, 10**6))
def test_maxima_equal_a_full_sort(each: int, tokens: int, batch: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(tokens, 3, generator=generator) * (torch.rand(tokens, 3, generator=generator) < 0.5)
    row = torch.arange(tokens) // 7
    maxima = Maxima(3, each)
    for part in torch.arange(tokens).split(batch):
        token, latent = active[part].nonzero(as_tuple=True)
        maxima.add(latent, active[part][token, latent], row[part][token], part[token])
    found = list(zip(*(entries.tolist() for entries in maxima.entries), strict=True))
    assert found == brute(active, row, each)


def test_ranks_and_firsts() -> None:
    assert ranks(torch.tensor([3, 3, 7, 9, 9, 9])).tolist() == [0, 1, 0, 0, 1, 2]
    assert first_of_each(torch.tensor([5, 3, 5, 3, 1])).tolist() == [True, True, False, False, True]
