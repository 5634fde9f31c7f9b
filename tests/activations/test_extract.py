"""Extraction against plain full forwards, row by row, for every architecture."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.activations import extract as module
from crossdiff.activations.disk import bytes_a_token
from crossdiff.activations.extract import Rows, batch_plan, extract, padded, shard_plan

LENGTHS = [13, 20, 1, 7, 20, 2, 31]


def made_rows(lengths=LENGTHS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    return Rows(
        ids_N=torch.randint(3, 300, (total,), generator=generator).int(),
        roles_N=torch.randint(0, 5, (total,), generator=generator).to(torch.uint8),
        lengths_R=torch.tensor(lengths),
    )


def models_of(pair, dtype=torch.float32):
    return [pair.model(name, dtype) for name in ("base", "chat")]


@pytest.mark.parametrize("batch_tokens", [1, 64, 10_000])
def test_streams_equal_output_hidden_states_of_each_row_alone(tiny_pair, batch_tokens):
    models, rows = models_of(tiny_pair), made_rows()
    shard = extract(models, 1, rows, range(1, 6), batch_tokens, torch.float32, lambda tokens: None)
    assert shard["x"].shape == (50, 2, 32)
    for row in range(1, 6):
        mine = shard["row"] == row
        assert torch.equal(shard["token"][mine], rows.ids(row))
        assert torch.equal(shard["position"][mine], torch.arange(LENGTHS[row]).int())
        for number, model in enumerate(models):
            hidden = model(rows.ids(row).long()[None], output_hidden_states=True).hidden_states[2][0]
            torch.testing.assert_close(shard["x"][mine, number], hidden, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(shard["norm"], shard["x"].norm(dim=-1))
    assert torch.equal(shard["role"], rows.roles_N[rows.span(range(1, 6))])
    assert not torch.allclose(shard["x"][:, 0], shard["x"][:, 1])


def test_bfloat16_is_stored_as_the_model_gave_it(llama_pair):
    models, rows = models_of(llama_pair, torch.bfloat16), made_rows()
    told = []
    shard = extract(models, 3, rows, range(7), 10**6, torch.bfloat16, told.append)
    assert shard["x"].dtype == torch.bfloat16
    assert sum(told) == sum(LENGTHS)
    ids_BT, mask_BT = padded(rows, [6, 1, 4, 0, 3, 5, 2])
    stream = module.read_tokens(models[1], 3, ids_BT, mask_BT)
    assert torch.equal(shard["x"][shard["row"] == 6, 1], stream[:31])
    stored = sum(tensor.numel() * tensor.element_size() for tensor in shard.values())
    assert stored == sum(LENGTHS) * bytes_a_token(2, 32, 2)


def test_bits_do_not_depend_on_how_many_threads_read(llama_pair):
    models, rows = models_of(llama_pair, torch.bfloat16), made_rows()
    before, read = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            read.append(extract(models, 1, rows, range(7), 40, torch.bfloat16, lambda tokens: None))
    finally:
        torch.set_num_threads(before)
    for more in read[1:]:
        assert all(torch.equal(tensor, more[name]) for name, tensor in read[0].items())


def test_some_rows_keep_their_numbers(llama_pair):
    rows = made_rows()
    some = rows.only(torch.tensor([5, 0, 3]))
    assert torch.equal(some.ids(0), rows.ids(5))
    assert torch.equal(some.roles_N[2:15], rows.roles_N[:13])
    shard = extract(models_of(llama_pair), 1, some, range(3), 64, torch.float32, lambda tokens: None)
    assert shard["row"].tolist() == [5] * 2 + [0] * 13 + [3] * 7
    assert shard["position"].tolist() == [0, 1, *range(13), *range(7)]
    assert torch.equal(shard["token"], torch.cat([rows.ids(5), rows.ids(0), rows.ids(3)]))


lengths = st.lists(st.integers(1, 30), min_size=1, max_size=40)


@given(lengths, st.integers(1, 100))
def test_shards_hold_all_rows_in_order(lengths, shard_tokens):
    plan = shard_plan(torch.tensor(lengths), shard_tokens)
    assert [row for shard in plan for row in shard] == list(range(len(lengths)))
    held = [sum(lengths[row] for row in shard) for shard in plan]
    assert all(shard_tokens <= tokens < shard_tokens + 30 for tokens in held[:-1])
    assert held[-1] > 0


@given(lengths, st.integers(1, 100))
def test_batches_hold_all_rows_within_the_budget(lengths, batch_tokens):
    rows = range(len(lengths) // 3, len(lengths))
    plan = batch_plan(torch.tensor(lengths), rows, batch_tokens)
    assert sorted(row for batch in plan for row in batch) == list(rows)
    for batch in plan:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= batch_tokens
    longest = [lengths[row] for batch in plan for row in batch]
    assert longest == sorted(longest, reverse=True)
