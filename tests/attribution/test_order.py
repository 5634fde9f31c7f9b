"""The order from the most chat-specific latent on: by ranks of |ν|, with latents of unknown ν left out."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.attribution.order import call_order, chat_order, rank


@given(st.lists(st.integers(-5, 5) | st.just(math.nan), max_size=12))
def test_ranks_count_what_is_lower_or_stands_before(values: list[float]) -> None:
    ranks = rank(torch.tensor(values, dtype=torch.float64)).tolist()
    keys = [(math.isnan(value), 0 if math.isnan(value) else value, place) for place, value in enumerate(values)]
    assert ranks == [sum(other < key for other in keys) for key in keys]


def test_a_crosscoders_latent_far_below_zero_is_not_chat_specific() -> None:
    columns = {
        "nu_reconstruction": torch.tensor([-3.0, 0.1, 0.9, math.nan], dtype=torch.float64),
        "nu_error": torch.tensor([-2.0, -0.05, 0.8, 0.0], dtype=torch.float64),
    }
    order_F = chat_order(columns, crosscoder=True)
    assert order_F[3].isnan()
    assert torch.argsort(order_F[:3]).tolist() == [1, 2, 0]


def test_an_saes_latents_go_by_the_size_of_a_well_posed_nu() -> None:
    columns = {
        "nu_activation": torch.tensor([0.4, -0.1, 0.01, math.nan]),
        "nu_valid": torch.tensor([True, True, False, False]),
    }
    order_F = chat_order(columns, crosscoder=False)
    assert torch.argsort(order_F[:2]).tolist() == [1, 0]
    assert order_F[2:].isnan().all()


def test_a_diff_saes_latent_is_near_a_call_by_the_larger_margin():
    columns = {
        "separation_chat_margin": torch.tensor([0.3, -0.5, -0.2, torch.nan]),
        "separation_base_margin": torch.tensor([-0.4, 0.4, -0.3, torch.nan]),
    }
    assert torch.argsort(call_order(columns, "diff-sae"))[:3].tolist() == [1, 0, 2]
    assert call_order(columns, "diff-sae")[3].isnan()


def test_others_are_near_a_call_by_the_smaller_nu_that_is_well_posed():
    columns = {
        "nu_centred": torch.tensor([0.9, -0.1, 0.0, 1.0]),
        "nu_centred_valid": torch.tensor([True, True, False, False]),
        "nu_centred_base": torch.tensor([0.2, 1.0, 0.8, 1.0]),
        "nu_centred_valid_base": torch.tensor([True, True, True, False]),
    }
    found = call_order(columns, "crosscoder")
    torch.testing.assert_close(
        found, torch.tensor([0.2, 0.1, 0.8, torch.nan], dtype=torch.float64), rtol=1e-6, atol=0, equal_nan=True
    )
    one_side = {name: column for name, column in columns.items() if not name.endswith("_base")}
    assert torch.argsort(call_order(one_side, "chat-sae"))[:2].tolist() == [1, 0]
