"""Over-represented tokens, contexts and parts of a text, against plain loops and known answers."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdiff.attribution.contexts import BEFORE, PLACES, PRIOR, Rows, over_represented


def rows(*texts: list[int], roles: list[list[int]] | None = None) -> Rows:
    flat = [token for text in texts for token in text]
    flat_roles = [role for some in roles for role in some] if roles else [4] * len(flat)
    return Rows(torch.tensor(flat), torch.tensor(flat_roles), torch.tensor([len(text) for text in texts]))


def log_odds(y: int, n: int, b: int, total: int) -> float:
    prior = PRIOR * b / total
    delta = math.log((y + prior) / (n + PRIOR - y - prior)) - math.log((b + prior) / (total + PRIOR - b - prior))
    return delta / math.sqrt(1 / (y + prior) + 1 / (b + prior))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=40), st.integers(0, 99))
def test_scores_equal_a_plain_loop(sample: list[tuple[int, int]], seed: int) -> None:
    background = torch.randint(1, 50, (7,), generator=torch.Generator().manual_seed(seed))
    latent, token = (torch.tensor(column) for column in zip(*sample, strict=True))
    found = over_represented(latent, token, background)
    pairs = list(zip(found.latent_P.tolist(), found.token_P.tolist(), strict=True))
    assert sorted(pairs) == sorted(set(sample))
    for pair, count, z in zip(pairs, found.count_P.tolist(), found.z_P.tolist(), strict=True):
        assert count == sample.count(pair)
        n = sum(one == pair[0] for one, _ in sample)
        assert math.isclose(z, log_odds(count, n, int(background[pair[1]]), int(background.sum())), abs_tol=1e-9)
    order = [(latent, -z) for latent, z in zip(found.latent_P.tolist(), found.z_P.tolist(), strict=True)]
    assert order == sorted(order)


def test_a_token_that_is_as_frequent_as_everywhere_is_not_over_represented() -> None:
    background = torch.tensor([500, 500])
    even = over_represented(torch.zeros(32).long(), torch.tensor([0, 1]).repeat(16), background)
    assert even.z_P.abs().max() < 1e-6
    rare = over_represented(torch.zeros(32).long(), torch.zeros(32).long(), torch.tensor([5, 10_000]))
    assert rare.z_P.item() > 5


def test_contexts_stay_in_their_row_and_count_a_token_once() -> None:
    texts = rows([1, 2, 2, 3, 4, 5], [6, 7])
    maximum, token = texts.context(torch.tensor([0, 1, 1]), torch.tensor([5, 1, 0]))
    assert list(zip(maximum.tolist(), token.tolist(), strict=True)) == [(0, 2), (0, 3), (0, 4), (1, 6)]
    assert BEFORE == 4


def test_counts_are_over_the_named_rows() -> None:
    texts = rows([1, 2, 2], [3], [1])
    assert texts.counts(torch.tensor([0, 0, 2])).tolist() == [0, 2, 2]


def test_parts_of_a_text_at_the_edges_of_rows_and_answers() -> None:
    roles = [[0, 1, 2, 1, 1, 3, 3, 1], [3, 4]]
    texts = rows(list(range(8)), [8, 9], roles=roles)
    row = torch.tensor([0] * 8 + [1] * 2)
    position = torch.tensor([*range(8), 0, 1])
    names = [PLACES[number] for number in texts.places(row, position)]
    assert names == [
        "bos", "template", "user", "template", "before-answer", "answer-start", "assistant", "template",
        "answer-start", "text",
    ]  # fmt: skip
