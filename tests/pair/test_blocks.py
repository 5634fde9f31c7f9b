"""Streams read, replaced and continued at a site, against a plain full forward of every architecture."""

import pytest
import torch
from transformers import DynamicCache

from crossdiff.errors import UserError
from crossdiff.pair.blocks import decoder_layers, patched, read_site, read_sites, upper

LAYERS = (0, 1, 2, 3)


@pytest.fixture
def model(tiny_pair):
    return tiny_pair.model("base")


@pytest.fixture
def inputs():
    """Three rows of 20, 13 and 1 tokens, padded on the right; longer than the sliding windows."""
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(5, 300, (3, 20), generator=generator)
    mask_BT = torch.arange(20) < torch.tensor([20, 13, 1])[:, None]
    return ids_BT * mask_BT, mask_BT.long()


def all_streams(model, ids_BT, mask_BT):
    """Output of every block, before the final norm, by hooks on a full forward."""
    streams = []
    handles = [
        block.register_forward_hook(lambda module, args, output: streams.append(output))
        for block in decoder_layers(model)
    ]
    out = model(input_ids=ids_BT, attention_mask=mask_BT, output_hidden_states=True, use_cache=False)
    for handle in handles:
        handle.remove()
    return streams, out


@pytest.mark.parametrize("layer", LAYERS)
def test_read_site_is_the_hidden_state_of_a_full_forward(model, inputs, layer):
    streams, out = all_streams(model, *inputs)
    h_BTD = read_site(model, layer, *inputs)
    assert torch.equal(h_BTD, streams[layer])
    if layer < LAYERS[-1]:  # the last of output_hidden_states is after the final norm
        assert torch.equal(h_BTD, out.hidden_states[layer + 1])


@pytest.mark.parametrize("layers", [[0, 1, 2, 3], [2, 0], [1]])
def test_many_sites_are_read_in_one_pass(model, inputs, layers):
    streams, _ = all_streams(model, *inputs)
    passes = []
    handle = decoder_layers(model)[0].register_forward_hook(lambda module, args, output: passes.append(1))
    found = read_sites(model, layers, *inputs)
    handle.remove()
    assert len(passes) == 1
    for layer, h_BTD in zip(layers, found, strict=True):
        assert torch.equal(h_BTD, streams[layer])


def test_read_site_stops_there(model, inputs):
    reached = []
    for number, block in enumerate(decoder_layers(model)):
        block.register_forward_hook(lambda module, args, output, number=number: reached.append(number))
    read_site(model, 1, *inputs)
    assert reached == [0, 1]


@pytest.mark.parametrize("layer", LAYERS)
def test_upper_continues_a_stream_exactly(model, inputs, layer):
    ids_BT, mask_BT = inputs
    _, out = all_streams(model, ids_BT, mask_BT)
    h_BTD = read_site(model, layer, ids_BT, mask_BT)
    assert torch.equal(upper(model, layer, h_BTD, mask_BT), out.logits)
    assert torch.equal(upper(model, layer, h_BTD, mask_BT, head=False), out.hidden_states[-1])
    kept = torch.tensor([0, 7, 19])
    torch.testing.assert_close(upper(model, layer, h_BTD, mask_BT, logits_to_keep=kept), out.logits[:, kept])
    again = model(input_ids=ids_BT, attention_mask=mask_BT).logits  # the model is whole again
    assert torch.equal(again, out.logits)


def test_the_model_is_whole_again_after_an_error(model, inputs):
    before = list(decoder_layers(model))
    with pytest.raises(RuntimeError):
        upper(model, 1, torch.zeros(1, 2, 7))
    assert list(decoder_layers(model)) == before


@pytest.mark.parametrize("layer", [0, 2])
def test_patched_equals_upper_on_the_edited_stream(model, inputs, layer):
    ids_BT, mask_BT = inputs
    h_BTD = read_site(model, layer, ids_BT, mask_BT)
    with patched(model, layer, lambda h: h * 0.5 + 1):
        edited = model(input_ids=ids_BT, attention_mask=mask_BT).logits
    assert torch.equal(edited, upper(model, layer, h_BTD * 0.5 + 1, mask_BT))
    assert not torch.equal(edited, model(input_ids=ids_BT, attention_mask=mask_BT).logits)


def test_patched_with_a_cache_equals_without(model, inputs):
    ids_BT, seen = inputs[0][:1], []

    def edit(h_BTD):
        seen.append(h_BTD.shape[1])
        return h_BTD + 0.3

    with patched(model, 1, edit):
        whole = model(input_ids=ids_BT, use_cache=False).logits
        cache = DynamicCache(config=model.config)
        parts = [model(input_ids=ids_BT[:, :14], past_key_values=cache).logits]
        parts += [model(input_ids=ids_BT[:, t : t + 1], past_key_values=cache).logits for t in range(14, 20)]
    assert seen == [20, 14] + [1] * 6
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-4)


def test_read_site_with_a_cache_equals_without(model, inputs):
    ids_BT = inputs[0][:1]
    cache = DynamicCache(config=model.config)
    parts = [read_site(model, 2, ids_BT[:, :14], past_key_values=cache)]
    parts += [read_site(model, 2, ids_BT[:, t : t + 1], past_key_values=cache) for t in range(14, 20)]
    torch.testing.assert_close(torch.cat(parts, 1), read_site(model, 2, ids_BT), rtol=1e-4, atol=1e-4)


def test_gradient_at_the_site_is_that_of_a_full_forward(model, inputs):
    ids_BT, mask_BT = inputs
    model.requires_grad_(True)
    streams = []
    with patched(model, 1, lambda h_BTD: streams.append(h_BTD) or h_BTD):
        logits = model(input_ids=ids_BT, attention_mask=mask_BT).logits
    (wanted,) = torch.autograd.grad(logits.log_softmax(-1)[0, -1, 7], streams[0])
    model.requires_grad_(False)
    h_BTD = read_site(model, 1, ids_BT, mask_BT).requires_grad_()
    (gradient,) = torch.autograd.grad(upper(model, 1, h_BTD, mask_BT).log_softmax(-1)[0, -1, 7], h_BTD)
    torch.testing.assert_close(gradient, wanted)
    assert gradient[0].abs().max() > 0
    assert gradient[1:].abs().max() == 0


def test_gradient_flows_through_an_edit(model, inputs):
    shift = torch.zeros(32, requires_grad=True)
    with patched(model, 1, lambda h_BTD: h_BTD + shift):
        logits = model(input_ids=inputs[0][:1]).logits
    (gradient,) = torch.autograd.grad(logits.log_softmax(-1)[0, -1, 7], shift)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_block_that_does_not_exist(llama_pair, layer):
    model = llama_pair.model("base")
    for call in (
        lambda: read_site(model, layer, torch.zeros(1, 1, dtype=torch.int64)),
        lambda: upper(model, layer, None),
    ):
        with pytest.raises(UserError, match=rf"activations\.layer: block {layer} .* has 4, 0 to 3"):
            call()
