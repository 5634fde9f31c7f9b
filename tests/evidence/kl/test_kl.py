"""Positions, the identity of upper-half patching with a hooked forward, and perfect edits."""

from dataclasses import replace

import pytest
import torch
from made import make_dictionary

from crossdiff.attribution.directions import offset
from crossdiff.corpus.render import render
from crossdiff.corpus.roles import Role
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.components import difference, principal
from crossdiff.evidence.kl.divergence import (
    Conversation,
    Predicted,
    base_top_kl,
    baseline_streams,
    first_nine,
    kl_rows,
    later,
    patched_kl,
    predictions,
)
from crossdiff.evidence.kl.interventions import Intervention, edited_streams
from crossdiff.evidence.streams import Site, alike
from crossdiff.pair.blocks import patched

LAYER = 1


@pytest.fixture
def site(tiny_pair):
    return Site(tiny_pair.model("base"), tiny_pair.model("chat"), LAYER, None)


@pytest.fixture
def llama_site(llama_pair):
    return Site(llama_pair.model("base"), llama_pair.model("chat"), LAYER, None)


def sentence(number=0):
    return [
        {"role": "user", "content": f"Question {number}: how do plants make food?"},
        {"role": "assistant", "content": "They turn light, water and air into sugar, all day long."},
        {"role": "user", "content": "And then?"},
        {"role": "assistant", "content": "Then they grow a little more, and they rest at night."},
    ]


def perfect_crosscoder(width, decoder_bias=None):
    """Reconstructs both models exactly: a latent for each sign of each coordinate of each model."""
    encoder = torch.zeros(2, width, 4 * width)
    decoder = torch.zeros(2, 4 * width, width)
    for model in range(2):
        for i in range(width):
            for n, sign in enumerate((1.0, -1.0)):
                latent = (2 * model + n) * width + i
                encoder[model, i, latent] = sign
                decoder[model, latent, i] = sign
    bias = torch.zeros(2, width) if decoder_bias is None else decoder_bias
    # x' − b_dec is coded, so that b_dec is a real part of the reconstruction.
    return Dictionary(
        kind="crosscoder", score="sum", encoder=encoder,
        encoder_bias=-(bias[:, None] @ encoder).sum((0, 1)), decoder=decoder, decoder_bias=bias,
        threshold=torch.tensor(0.0), mean=torch.full((2, width), 0.3), scale=torch.tensor(1.7),
    )  # fmt: skip


def test_predictions_cover_the_answer_and_the_end_of_the_turn():
    b, t, u, a = Role.BOS, Role.TEMPLATE, Role.USER, Role.ASSISTANT
    roles = torch.tensor([b, t, u, t, a, a, t, t, u, t, a])
    assert predictions(roles).nonzero().flatten().tolist() == [3, 4, 5, 9]
    assert first_nine(roles).nonzero().flatten().tolist() == [4, 5]


def test_first_nine_is_nine_positions_a_turn(tokenizer):
    roles = torch.tensor(render(tokenizer, sentence()).roles)
    nine, every = first_nine(roles), predictions(roles)
    starts = [p for p in every.nonzero().flatten().tolist() if roles[p] == Role.TEMPLATE]
    assert len(starts) == 2
    assert nine.nonzero().flatten().tolist() == [p + n for p in starts for n in range(1, 10)]
    # All predictions: the first word, which the template predicts, the nine after it, and the later ones.
    assert torch.equal(
        every & ~nine & ~later(roles), (torch.arange(len(roles))[:, None] == torch.tensor(starts)).any(1)
    )
    assert int(later(roles).sum()) == int(every.sum()) - 2 * 10 > 10
    assert not bool((nine & later(roles)).any())


def test_divergence_equals_kl_div():
    a, b = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.kl_div(b.log_softmax(-1), a.log_softmax(-1), log_target=True, reduction="none").sum(
        -1
    )
    torch.testing.assert_close(Predicted(a).divergence(b), expected)


def test_patched_kl_equals_a_full_forward_with_a_hook(site, tokenizer):
    row = render(tokenizer, sentence())
    x = site.streams([row.ids])[0]
    positions = predictions(torch.tensor(row.roles)).nonzero().flatten()
    streams = torch.stack([x[:, 0], x[:, 0] + 0.3 * x[:, 1]])
    found = patched_kl(site, x[:, 1], streams, positions)
    ids = torch.tensor([row.ids])
    chat = site.chat(input_ids=ids).logits[0, positions]
    for n, stream in enumerate(streams):
        with patched(site.chat, LAYER, lambda h, stream=stream: stream[None]), torch.no_grad():
            logits = site.chat(input_ids=ids).logits[0, positions]
        torch.testing.assert_close(found[n], Predicted(chat).divergence(logits), rtol=1e-4, atol=1e-6)
    assert float(found.min()) > 1e-4
    found = base_top_kl(site, x, positions)
    base = site.base(input_ids=ids).logits[0, positions]
    torch.testing.assert_close(found["base"], Predicted(chat).divergence(base), rtol=1e-4, atol=1e-6)
    with patched(site.base, LAYER, lambda h: x[None, :, 1]), torch.no_grad():
        crossed = site.base(input_ids=ids).logits[0, positions]
    torch.testing.assert_close(found["chat-to-base"], Predicted(chat).divergence(crossed), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found["chat-to-base"], found["base"], rtol=1e-2)


def test_identical_models_have_no_kl_through_either_top(llama_pair, tokenizer):
    site = Site(llama_pair.model("chat"), llama_pair.model("chat"), LAYER, None)
    row = render(tokenizer, sentence())
    x = site.streams([row.ids])[0]
    positions = predictions(torch.tensor(row.roles)).nonzero().flatten()
    for kl in base_top_kl(site, x, positions).values():
        assert float(kl.abs().max()) < 1e-6


def test_groups_of_streams_do_not_matter(llama_site, tokenizer, monkeypatch):
    row = render(tokenizer, sentence())
    x = llama_site.streams([row.ids])[0]
    positions = predictions(torch.tensor(row.roles)).nonzero().flatten()
    streams = torch.stack([x[:, 0], x[:, 1], 0.5 * x[:, 0]])
    whole = patched_kl(llama_site, x[:, 1], streams, positions)
    monkeypatch.setattr("crossdiff.evidence.streams.FORWARD_TOKENS", 2 * len(x))
    monkeypatch.setattr("crossdiff.evidence.kl.divergence.CHUNK", 1000)
    torch.testing.assert_close(patched_kl(llama_site, x[:, 1], streams, positions), whole, rtol=1e-4, atol=1e-6)


def test_chat_stream_in_place_of_base_has_no_kl(site, tokenizer):
    row = render(tokenizer, sentence())
    x = site.streams([row.ids])[0]
    same = x[:, 1:].expand(-1, 2, -1)
    positions = predictions(torch.tensor(row.roles)).nonzero().flatten()
    none = baseline_streams(site, same, torch.tensor(row.roles))["none"]
    assert float(patched_kl(site, x[:, 1], none[None], positions).abs().max()) < 1e-6


def test_perfect_dictionary_recovers_everything_only_with_its_bias(llama_site, tokenizer):
    row = render(tokenizer, sentence())
    x = llama_site.streams([row.ids])[0]
    bias = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    dictionary = perfect_crosscoder(32, bias)
    torch.testing.assert_close(dictionary.decode(dictionary.encode(x)), x, rtol=1e-4, atol=1e-5)
    every = torch.ones(128, dtype=torch.bool)
    chosen = [Intervention("all", every), Intervention("all-with-bias", every, bias=True)]
    chosen += [Intervention("error", every, start="chat", bias=True)]
    streams = edited_streams(dictionary, chosen, x, torch.ones(len(x), dtype=torch.bool))
    torch.testing.assert_close(streams[2], x[:, 0], rtol=1e-4, atol=1e-5)
    positions = predictions(torch.tensor(row.roles)).nonzero().flatten()
    kl = patched_kl(llama_site, x[:, 1], streams, positions)
    assert float(kl[1].abs().max()) < 1e-5
    assert float(kl[0].mean()) > 1e-2


def test_diff_sae_full_reconstruction_is_added_to_base():
    dictionary = make_dictionary("diff-sae")
    x = torch.randn(20, 2, 6, generator=torch.Generator().manual_seed(4))
    every = torch.ones(11, dtype=torch.bool)
    full, error, bias = edited_streams(
        dictionary,
        [
            Intervention("full", every, bias=True),
            Intervention("error", every, start="chat", bias=True),
            Intervention("bias", ~every, bias=True),
        ],
        x,
        torch.ones(20, dtype=torch.bool),
    )
    reconstruction = dictionary.decode(dictionary.encode(x[:, 1:] - x[:, :1]))[:, 0]
    torch.testing.assert_close(full, x[:, 0] + reconstruction)
    torch.testing.assert_close(error, x[:, 1] - reconstruction)
    torch.testing.assert_close(bias, x[:, 0] + offset(dictionary)[0])


def test_masked_tokens_keep_their_stream(llama_site, tokenizer):
    row = render(tokenizer, sentence())
    x = llama_site.streams([row.ids])[0]
    norms = x.norm(dim=-1).amax(0)
    limit = [float(norms[0]) + 1, float(x[:, 1].norm(dim=-1).median())]
    site = replace(llama_site, thresholds=limit)
    kept = site.kept(x)
    assert 0 < int(kept.sum()) < len(x)
    every = torch.ones(128, dtype=torch.bool)
    chosen = [Intervention("all", every, bias=True), Intervention("error", every, start="chat", bias=True)]
    added, taken = edited_streams(perfect_crosscoder(32), chosen, x, kept)
    torch.testing.assert_close(added, torch.where(kept[:, None], x[:, 1], x[:, 0]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(taken, torch.where(kept[:, None], x[:, 0], x[:, 1]), rtol=1e-4, atol=1e-5)
    outliers = baseline_streams(site, x, torch.tensor(row.roles))["outliers"]
    assert torch.equal(outliers, torch.where(kept[:, None], x[:, 0], x[:, 1]))


def test_all_components_of_a_row_make_chat_of_base_on_known_tokens(llama_site, tokenizer):
    row = render(tokenizer, sentence())
    x = llama_site.streams([row.ids])[0]
    limit = float(x[:, 1].norm(dim=-1).median())
    site = replace(llama_site, thresholds=[limit * 10, limit])
    roles = torch.tensor(row.roles)
    assert "components" not in baseline_streams(site, x, roles)
    every = baseline_streams(site, x, roles, principal(difference(x), 32))["components"]
    known = site.known(x)[:, None]
    torch.testing.assert_close(every, torch.where(known, x[:, 1], x[:, 0]), rtol=1e-4, atol=1e-4)
    one = baseline_streams(site, x, roles, principal(difference(x), 1))["components"]
    assert torch.equal(one[~known[:, 0]], x[~known[:, 0], 0])
    far, near = ((each - x[:, 1])[known[:, 0]].norm() for each in (x[:, 0], one))
    assert 0 < near < far


def test_rows_sum_over_positions(tokenizer):
    row = render(tokenizer, sentence())
    positions = predictions(torch.tensor(row.roles)).nonzero().flatten()
    kl = torch.arange(2 * len(positions)).view(2, -1).float()
    rows = kl_rows(Conversation(7, "chat", row.ids, row.roles), ["none", "template"], kl, positions)
    found = {(r["intervention"], r["positions"]): r for r in rows}
    assert len(rows) == 6
    assert found["template", "all"]["kl"] == float(kl[1].sum())
    assert found["none", "all"]["tokens"] == len(positions)
    assert found["none", "first9"]["tokens"] == 18
    after = later(torch.tensor(row.roles))[positions]
    assert found["template", "later"]["kl"] == float(kl[1][after].sum())
    assert found["none", "later"]["tokens"] == len(positions) - 20
    nine = first_nine(torch.tensor(row.roles))[positions]
    assert found["none", "first9"]["kl"] == float(kl[0][nine].sum())


def test_streams_of_many_sequences_equal_each_alone(site, tokenizer, monkeypatch):
    rows = [render(tokenizer, sentence(n)[: 2 + n]).ids for n in (0, 1, 2)]
    alone = [site.streams([ids])[0] for ids in rows]
    for limit in (10**6, 2 * len(rows[0]), 1):
        monkeypatch.setattr("crossdiff.evidence.streams.FORWARD_TOKENS", limit)
        for many, one in zip(site.streams(rows), alone, strict=True):
            torch.testing.assert_close(many, one, rtol=1e-4, atol=1e-5)


def test_groups_are_of_like_length_and_within_the_limit():
    assert alike([5, 2, 9, 2], 10) == [[1, 3], [0], [2]]
    assert alike([50], 10) == [[0]]
    assert alike([], 10) == []


def test_the_skipped_start_of_a_sequence_is_not_edited(llama_site):
    site = replace(llama_site, skip_first=4)
    (x_TLD,) = site.streams([list(range(5, 17))])
    known_T = site.known(x_TLD)
    assert known_T.tolist() == [False] * 4 + [True] * 8
    dictionary = perfect_crosscoder(x_TLD.shape[-1])
    everything = Intervention("all", torch.ones(dictionary.shape[2], dtype=torch.bool))
    (stream_TD,) = edited_streams(dictionary, [everything], x_TLD, known_T)
    assert torch.equal(stream_TD[:4], x_TLD[:4, 0].float())
    torch.testing.assert_close(stream_TD[4:], x_TLD[4:, 1].float(), rtol=1e-4, atol=1e-4)
    outliers_TD = baseline_streams(site, x_TLD, torch.full((12,), int(Role.USER)))["outliers"]
    assert torch.equal(outliers_TD, torch.where(known_T[:, None], x_TLD[:, 0], x_TLD[:, 1]))
