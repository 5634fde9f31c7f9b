"""Pieces of work on threads of their own: same results and order as one after the other, each on models of its own."""

import threading
from collections.abc import Iterator

import pytest
import torch

from crossdiff import products
from crossdiff.workers import each, sharing_weights


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@torch.no_grad()
def streams(models, ids_BT):
    return [model(ids_BT).logits for model in models]


@pytest.mark.parametrize("lacking", [False, True], ids=["bf16", "without bf16"])
def test_results_come_in_order_and_are_those_of_one_thread(llama_pair, three_threads, monkeypatch, lacking):
    monkeypatch.setattr(products, "lacking", lambda: lacking)
    models = [llama_pair.model(name, torch.bfloat16) for name in ("base", "chat")]
    generator = torch.Generator().manual_seed(0)
    items = [torch.randint(3, 300, (2, width), generator=generator) for width in (31, 2, 17, 5, 9, 23, 1)]
    side_by_side = list(each(streams, models, items))
    torch.set_num_threads(1)
    with products.widened():
        one_by_one = list(each(streams, models, items))
    for alone, together in zip(one_by_one, side_by_side, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_no_two_pieces_at_a_time_have_the_same_models_and_all_share_weights(llama_pair, three_threads):
    model = llama_pair.model("base", torch.float32)
    all_there = threading.Barrier(3, timeout=30)

    def look(models, item):
        all_there.wait()  # passes only if three pieces are under way at once
        threads = torch.get_num_threads()
        all_there.wait()
        return id(models[0]), models[0].get_input_embeddings().weight.data_ptr(), threads

    seen = list(each(look, [model], range(3)))
    assert len({module for module, _, _ in seen}) == 3
    assert {weights for _, weights, _ in seen} == {model.get_input_embeddings().weight.data_ptr()}
    assert {threads for _, _, threads in seen} == {1}
    assert torch.get_num_threads() == 3


def test_what_a_piece_raises_is_raised_and_threads_are_given_back(three_threads):
    def fail(models, item):
        if item == 2:
            raise ValueError("piece 2")
        return item

    with pytest.raises(ValueError, match="piece 2"):
        list(each(fail, [], range(5)))
    assert torch.get_num_threads() == 3


def test_pieces_that_nobody_waits_for_leave_the_threads_as_they_were(three_threads):
    results = each(lambda models, item: item, [], range(100))
    assert next(results) == 0
    results.close()
    assert torch.get_num_threads() == 3


def test_a_hook_of_a_copy_is_its_own(llama_pair):
    model = llama_pair.model("base", torch.float32)
    copied, told = sharing_weights(model), []
    copied.get_input_embeddings().register_forward_hook(lambda *_: told.append(1))
    ids_BT = torch.tensor([[3, 4, 5]])
    assert torch.equal(model(ids_BT).logits, copied(ids_BT).logits)
    assert told == [1]
