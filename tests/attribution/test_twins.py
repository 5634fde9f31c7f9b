"""Twins: pairs by direction, one to one, and their activity against plain counts."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from made import make_dictionary, make_pairs

from crossdiff.attribution.twins import Pairs, Together, alike, count, false_twins, one_to_one


def decoder(latents=40, width=5, seed=0):
    return torch.randn(2, latents, width, generator=torch.Generator().manual_seed(seed))


def test_pairs_are_those_above_the_cosine(monkeypatch):
    monkeypatch.setattr("crossdiff.attribution.twins.CHUNK", 3)
    rows_LFD = decoder()
    chat, base = torch.tensor([1, 5, 9, 20, 33, 34, 35]), torch.tensor([0, 2, 7, 30])
    found = alike(rows_LFD, chat, base, 0.2)
    cosine = torch.nn.functional.cosine_similarity(rows_LFD[1, chat, None], rows_LFD[0, None, base], dim=-1)
    wanted = {(int(chat[c]), int(base[b])) for c, b in (cosine > 0.2).nonzero().tolist()}
    assert set(zip(found.chat_P.tolist(), found.base_P.tolist(), strict=True)) == wanted != set()
    for c, b, value in zip(*found, strict=True):
        torch.testing.assert_close(value, torch.cosine_similarity(rows_LFD[1, c], rows_LFD[0, b], dim=0))


def test_no_candidates_give_no_pairs():
    none, some = torch.zeros(0, dtype=torch.long), torch.tensor([1, 2])
    for chat, base in ((none, some), (some, none), (none, none)):
        pairs = one_to_one(alike(decoder(), chat, base, 0.5))
        assert [len(column) for column in pairs] == [0, 0, 0]
        assert len(false_twins(pairs, decoder(), chat, 0).chat_P) == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 100)), max_size=20))
def test_one_to_one_is_greedy(triples):
    chat, base, cosine = (torch.tensor([t[i] for t in triples], dtype=torch.long) for i in range(3))
    found = one_to_one(Pairs(chat, base, cosine / 100))
    kept = list(zip(*(column.tolist() for column in found), strict=True))
    assert len({c for c, _, _ in kept}) == len({b for _, b, _ in kept}) == len(kept)
    for c, b, value in triples:  # whoever was left out lost a latent to a pair at least as alike
        assert any((c == kc or b == kb) and kv >= value / 100 - 1e-6 for kc, kb, kv in kept)


def test_false_twins_keep_the_base_latent_and_never_the_own_chat_latent():
    rows_LFD, chat = decoder(), torch.tensor([3, 8, 12, 30])
    pairs = Pairs(torch.tensor([8, 30]), torch.tensor([1, 2]), torch.ones(2))
    seen = set()
    for seed in range(30):
        false = false_twins(pairs, rows_LFD, chat, seed)
        assert torch.equal(false.base_P, pairs.base_P)
        assert bool((false.chat_P != pairs.chat_P).all())
        assert bool(torch.isin(false.chat_P, chat).all())
        torch.testing.assert_close(
            false.cosine_P, torch.cosine_similarity(rows_LFD[1, false.chat_P], rows_LFD[0, false.base_P], dim=-1)
        )
        seen |= set(false.chat_P.tolist())
    assert seen == set(chat.tolist())


def test_counts_are_those_of_a_plain_loop():
    dictionary, x = make_dictionary(latents=6, threshold=0.0), make_pairs(400)
    active = dictionary.encode(x) * dictionary.score_weight()
    chat, base = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    together = count(Together(chat, base, active.max(0).values), active.split(70))
    found = together.columns()
    for pair in range(3):
        a, b = active[:, chat[pair]].tolist(), active[:, base[pair]].tolist()
        top = max(*a, *b)
        high = sum(max(u, v) / top > 0.4 for u, v in zip(a, b, strict=True))
        apart = sum(
            (u / top > 0.4 and v / top <= 0.1) or (v / top > 0.4 and u / top <= 0.1) for u, v in zip(a, b, strict=True)
        )
        both = sum(u > 0 and v > 0 for u, v in zip(a, b, strict=True))
        assert (found["tokens_high"][pair], found["tokens_apart"][pair]) == (high, apart)
        assert float(found["divergence"][pair]) == apart / high
        assert float(found["chat_given_base"][pair]) == both / sum(v > 0 for v in b)
        assert float(found["base_given_chat"][pair]) == both / sum(u > 0 for u in a)
    assert bool((found["divergence"] > 0).all())
    assert bool((found["tokens_both"] < found["tokens_chat"]).all())


def test_known_divergences():
    """Alike: 0. Never together: 1. Silent: not a number."""
    active = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 1.0, 0.0, 0.0]])
    found = count(Together(torch.tensor([0, 2, 4]), torch.tensor([1, 3, 5]), active.max(0).values), [active]).columns()
    assert found["divergence"][:2].tolist() == [0.0, 1.0]
    assert bool(found["divergence"][2].isnan())
    assert found["chat_given_base"][:2].tolist() == [1.0, 0.0]
