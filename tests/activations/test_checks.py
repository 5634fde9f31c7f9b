"""Each run-time check passes on a sound model and catches the fault it is for."""

import pytest
import torch
from test_extract import made_rows, models_of

from crossdiff.activations import checks
from crossdiff.activations.extract import extract
from crossdiff.errors import UserError
from crossdiff.pair.blocks import decoder_layers


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sound_models_do_not_depend_on_the_batch(tiny_pair, dtype):
    moved = checks.check_invariance(models_of(tiny_pair, dtype), 3, made_rows(), 4)
    assert max(moved) <= checks.TOLERANCE[dtype] / 2


def sees_the_padding(model):
    """A fault: attention ignores the mask, so that every position sees all others, padding too."""
    for block in decoder_layers(model):
        forward = block.self_attn.forward

        def faulty(hidden_states, attention_mask=None, forward=forward, **kw):
            open_mask = torch.zeros(len(hidden_states), 1, hidden_states.shape[1], hidden_states.shape[1])
            return forward(hidden_states=hidden_states, attention_mask=open_mask.to(hidden_states.dtype), **kw)

        block.self_attn.forward = faulty


def mixes_rows(model):
    """A fault: the stream of a row holds a little of the row before it in the batch."""
    decoder_layers(model)[0].register_forward_hook(lambda module, args, output: output + 0.2 * output.roll(1, 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fault", [sees_the_padding, mixes_rows])
@pytest.mark.parametrize("faulty", [0, 1])
def test_a_model_that_leaks_between_rows_or_from_padding_is_caught(llama_pair, dtype, fault, faulty):
    models = models_of(llama_pair, dtype)
    fault(models[faulty])
    name = ("base", "chat")[faulty]
    with pytest.raises(UserError, match=rf"row \d+ reads differently in the {name} model alone and in a padded batch"):
        checks.check_invariance(models, 3, made_rows(), 4)


def test_a_stream_that_is_not_finite_is_told_as_that(llama_pair):
    """On one row alone: its NaN is no number that a maximum would find."""
    models, rows = models_of(llama_pair), made_rows()
    longest = int(rows.lengths_R.max())

    def overflow(module, args, output):
        return output + (float("inf") if output.shape[1] == longest else 0)

    decoder_layers(models[1])[0].register_forward_hook(overflow)
    with pytest.raises(
        UserError, match=r"the chat model gives values that are not finite .* on row \d+; try pair\.dtype"
    ):
        checks.check_invariance(models, 3, rows, 4)


def test_a_float32_model_may_be_stored_in_bf16(llama_pair):
    models, rows = models_of(llama_pair, torch.float32), made_rows()
    shard = extract(models, 1, rows, range(7), 64, torch.bfloat16, lambda tokens: None)
    for row in range(7):
        checks.check_aligned(models, 1, rows, shard, row)


def test_a_wrong_row_in_a_shard_is_caught(llama_pair):
    models, rows = models_of(llama_pair), made_rows()
    shard = extract(models, 1, rows, range(7), 64, torch.float32, lambda tokens: None)
    for row in range(7):
        checks.check_aligned(models, 1, rows, shard, row)
    mixed = shard | {"x": shard["x"].roll(1, 0)}
    with pytest.raises(UserError, match="row 4 of the base model is not what the model gives on that row alone"):
        checks.check_aligned(models, 1, rows, mixed, 4)
    with pytest.raises(UserError, match="row 4 of the base model"):
        checks.check_aligned(models, 1, rows, shard | {"x": shard["x"].flip(1)}, 4)  # base and chat exchanged
    with pytest.raises(UserError, match=r"tokens of row 4 are not those of rows\.parquet"):
        checks.check_aligned(models, 1, rows, shard | {"token": shard["token"] + 1}, 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_values_that_are_not_finite_name_their_row(llama_pair, value, dtype):
    rows = made_rows()
    shard = extract(models_of(llama_pair), 1, rows, range(7), 64, dtype, lambda tokens: None)
    checks.check_finite(shard)
    shard["x"][35, 1, 3] = value
    if dtype != torch.float16:  # a norm that is finite may be beyond float16
        shard["norm"] = shard["x"].float().norm(dim=-1)
    with pytest.raises(UserError, match=r"the chat model .* on row 3, position 1 \(token \d+\)"):
        checks.check_finite(shard)


def test_models_of_different_widths(llama_pair):
    models = models_of(llama_pair)
    checks.check_widths(models)
    models[1].config.hidden_size = 64
    with pytest.raises(UserError, match="different widths, 32 and 64"):
        checks.check_widths(models)


def test_ids_that_a_model_does_not_know(llama_pair):
    models, rows = models_of(llama_pair), made_rows()
    checks.check_ids(models, rows)
    rows.ids_N[35] = 300
    with pytest.raises(UserError, match="row 3 holds token 300, but the base model's vocabulary ends at 299"):
        checks.check_ids(models, rows)


def test_rows_without_tokens(llama_pair):
    for lengths in ([], [3, 0, 2]):
        with pytest.raises(UserError, match="no rows, or a row without tokens"):
            checks.check_ids(models_of(llama_pair), made_rows(lengths))


def test_a_full_disk(tmp_path):
    free = checks.check_disk(tmp_path, 1000)
    with pytest.raises(UserError, match=r"GB are needed .* GB are free; make room"):
        checks.check_disk(tmp_path, free + 10**12)
