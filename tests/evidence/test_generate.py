"""Generation under an edit against plain generation, and against a hooked model without a cache."""

from dataclasses import replace

import pytest
import torch

from crossdiff.evidence.generate import greedy
from crossdiff.evidence.streams import Site
from crossdiff.pair.blocks import patched, read_site

LAYER = 1
PREFIXES = [[0, 41, 52, 63], [0, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21], [0, 99, 98, 97, 96, 95, 94]]
ANSWERS = [4, 9, 7]


def nothing(x_RTLD, row_R, answering_RT):
    return torch.zeros_like(x_RTLD[:, :, 0])


@pytest.fixture
def site(tiny_pair):
    return Site(tiny_pair.model("base"), tiny_pair.model("chat"), LAYER, None)


@pytest.mark.parametrize("running", ["base", "chat"])
def test_zero_edit_is_plain_greedy_generation(site, running):
    model = site.base if running == "base" else site.chat
    found = greedy(site, running, nothing, PREFIXES, ANSWERS, [12] * 3, {1})
    for prefix, tokens in zip(PREFIXES, found, strict=True):
        ids = torch.tensor([prefix])
        plain = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, eos_token_id=1, pad_token_id=2
        )
        expected = plain[0, len(prefix) :].tolist()
        assert tokens == (expected[: expected.index(1)] if 1 in expected else expected)


def test_stops_and_limits_are_each_row_s_own(site):
    free = greedy(site, "chat", nothing, PREFIXES, ANSWERS, [9, 9, 9], set())
    assert [len(tokens) for tokens in free] == [9, 9, 9]
    limited = greedy(site, "chat", nothing, PREFIXES, ANSWERS, [2, 9, 5], set())
    assert limited == [free[0][:2], free[1], free[2][:5]]
    stop = free[1][3]
    stopped = greedy(site, "chat", nothing, PREFIXES, ANSWERS, [9, 9, 9], {stop})
    assert stopped == [t[: t.index(stop)] if stop in t else t for t in free]


def test_batches_do_not_matter(site, monkeypatch):
    def scaled(x_RTLD, row_R, answering_RT):
        return torch.tensor([0.5, -0.4, 0.2])[row_R][:, None, None] * x_RTLD[:, :, 0]

    whole = greedy(site, "chat", scaled, PREFIXES, ANSWERS, [8] * 3, set())
    monkeypatch.setattr("crossdiff.evidence.generate.FORWARD_TOKENS", 1)
    assert greedy(site, "chat", scaled, PREFIXES, ANSWERS, [8] * 3, set()) == whole


def test_edit_of_both_streams_equals_a_hooked_forward_without_cache(site):
    """Only at positions that predict the answer, the chat stream is replaced by a mix of both."""

    def mix(x_RTLD, row_R, answering_RT):
        return (0.8 * x_RTLD[:, :, 0] - 0.5 * x_RTLD[:, :, 1]) * answering_RT[..., None]

    found = greedy(site, "chat", mix, PREFIXES, ANSWERS, [6] * 3, set())
    assert found != greedy(site, "chat", nothing, PREFIXES, ANSWERS, [6] * 3, set())
    for prefix, answer, tokens in zip(PREFIXES, ANSWERS, found, strict=True):
        ids = list(prefix)
        for token in tokens:
            now = torch.tensor([ids])
            base, chat = (read_site(model, LAYER, now) for model in (site.base, site.chat))
            stream = chat.clone()
            stream[:, answer - 1 :] += (0.8 * base - 0.5 * chat)[:, answer - 1 :]
            with patched(site.chat, LAYER, lambda h, stream=stream: stream), torch.no_grad():
                assert int(site.chat(input_ids=now).logits[0, -1].argmax()) == token
            ids.append(token)


def test_the_skipped_start_is_not_edited(site):
    """An edit of every position leaves the first tokens of each row alone, wherever they lie in the padded batch."""
    skipping = replace(site, skip_first=3)

    def push(x_RTLD, row_R, answering_RT):
        return -1.7 * x_RTLD[:, :, 1]

    found = greedy(skipping, "chat", push, PREFIXES, ANSWERS, [6] * 3, set())
    assert found != greedy(site, "chat", push, PREFIXES, ANSWERS, [6] * 3, set())
    for prefix, tokens in zip(PREFIXES, found, strict=True):
        ids = list(prefix)
        for token in tokens:
            now = torch.tensor([ids])
            stream = read_site(site.chat, LAYER, now).clone()
            stream[:, 3:] *= 1 - 1.7
            with patched(site.chat, LAYER, lambda h, stream=stream: stream), torch.no_grad():
                assert int(site.chat(input_ids=now).logits[0, -1].argmax()) == token
            ids.append(token)


def test_full_difference_gives_chat_s_lower_half_to_chat_s_upper_half(llama_pair):
    """Base's lower blocks plus the whole difference, finished by the chat model's upper blocks, is the chat model."""
    base, chat = llama_pair.model("base"), llama_pair.model("chat")
    # The running model: base up to the site, chat above it.
    for index in range(LAYER + 1, len(chat.model.layers)):
        base.model.layers[index] = chat.model.layers[index]
    base.model.norm, base.lm_head = chat.model.norm, chat.lm_head
    site = Site(base, chat, LAYER, None)
    full = greedy(site, "base", lambda x, row, answering: x[:, :, 1] - x[:, :, 0], PREFIXES, ANSWERS, [10] * 3, set())
    assert full == greedy(site, "chat", nothing, PREFIXES, ANSWERS, [10] * 3, set())
    assert full != greedy(site, "base", nothing, PREFIXES, ANSWERS, [10] * 3, set())
