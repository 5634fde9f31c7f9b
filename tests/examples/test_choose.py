"""Which latents get texts: all that are called, then the first of each order in turns."""

import polars as pl
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.examples.choose import called, choose, orders

NAN = float("nan")


def test_called_are_those_of_the_seed_and_of_most_seeds() -> None:
    calls = pl.DataFrame({
        "latent": [4, 2, 0, 3, 1],
        "call": ["rotated", "none", "undetermined", "dead", "chat-specific"],
        "consensus_call": [None, "chat-specific", None, None, "chat-specific"],
    })  # fmt: skip
    assert called(calls) == [1, 2, 4]
    assert called(calls.drop("consensus_call")) == [1, 4]
    assert called(calls.with_columns(call=pl.lit(None, pl.String), consensus_call=pl.lit(None, pl.String))) == []


def test_the_dead_and_the_unknown_have_no_place() -> None:
    latents = pl.DataFrame({
        "dead": [False, False, True, False],
        "frequency": [0.1, 0.3, 0.9, 0.2],
        "nu_activation": [0.4, 0.1, 0.0, None],
        "nu_valid": [True, True, True, False],
        "nu_centred": [0.2, 0.5, 0.0, None],
        "nu_centred_valid": [True, True, True, False],
    })  # fmt: skip
    near, nu, often = orders(latents, "chat-sae")
    assert torch.argsort(near[:2]).tolist() == [0, 1]
    assert torch.argsort(nu[:2]).tolist() == [1, 0]
    assert torch.argsort(often, stable=True).tolist() == [1, 3, 0, 2]
    assert [order.isnan().tolist() for order in (near, nu, often)] == [[False, False, True, True]] * 2 + [
        [False, False, True, False]
    ]


def test_the_first_of_each_order_in_turns() -> None:
    near, often = torch.tensor([3.0, NAN, 1.0, NAN, 2.0, 4.0]), torch.tensor([0.0, NAN, 3.0, 2.0, 1.0, 4.0])
    assert choose([], [near, often], 1) == [2]
    assert choose([], [near, often], 2) == [0, 2]
    assert choose([5], [near, often], 2) == [0, 2, 5]
    assert choose([2, 0], [near, often], 2) == [0, 2, 3, 4]  # those named are not counted
    assert choose([1], [near, often], 10) == [0, 1, 2, 3, 4, 5]


ORDER = st.lists(st.floats(0, 1) | st.just(NAN), min_size=8, max_size=8)


@given(st.sets(st.integers(0, 7)), st.lists(ORDER, max_size=4), st.integers(0, 9))
def test_all_that_are_named_and_as_many_others_as_there_are(first, values, count) -> None:
    orders_ = [torch.tensor(order) for order in values]
    found = choose(first, orders_, count)
    others = {latent for order in orders_ for latent in range(8) if not order[latent].isnan()} - first
    assert found == sorted(set(found))
    assert first <= set(found)
    assert set(found) - first <= others
    assert len(found) == len(first) + min(count, len(others))
