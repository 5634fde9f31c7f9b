"""Slots of the template's tokens, from roles alone."""

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import conversation

from crossdiff.attribution.template import LONGEST, SlotUse, slots
from crossdiff.corpus.render import render
from crossdiff.corpus.roles import Role

B, T, U, A, X = (int(role) for role in Role)


def flat(rows):
    roles = torch.tensor([role for row in rows for role in row])
    return torch.arange(len(roles)), roles, torch.tensor([len(row) for row in rows])


def labels(found):
    return list(zip(found.before_P, found.after_P, found.place_P, strict=True))


def test_places_in_two_rows():
    rows = [[B, T, T, U, U, T, T, A, T, U, T], [X, X], [B, T, T, U, T]]
    found = slots(*flat(rows))
    where = labels(found)
    named = [where[slot] if slot >= 0 else None for slot in found.slot_N.tolist()]
    start = [None, ("start", "user", 0), ("start", "user", 1), None]
    turn = [("user", "assistant", 0), ("user", "assistant", 1)]
    assert named[:11] == [*start, None, *turn, None, ("assistant", "user", 0), None, ("user", "end", 0)]
    assert named[11:13] == [None, None]
    assert named[13:] == [*start, ("user", "end", 0)]
    assert found.of(torch.tensor([2, 0]), torch.tensor([1, 5])).tolist() == [found.slot_N[14], found.slot_N[5]]


def test_a_real_template_has_the_same_token_in_each_slot(tokenizer):
    rendered = [render(tokenizer, conversation(number)) for number in range(6)]
    ids = torch.tensor([token for row in rendered for token in row.ids])
    roles = torch.tensor([role for row in rendered for role in row.roles])
    found = slots(ids, roles, torch.tensor([len(row.ids) for row in rendered]))
    for slot, token in enumerate(found.token_P):
        assert set(ids[found.slot_N == slot].tolist()) == {token}
    assert tokenizer.decode([found.token_P[labels(found).index(("user", "assistant", 0))]]) == "<end>"


def test_the_commonest_token_of_a_slot_and_long_runs():
    roles = [[T, U]] * 5 + [[T] * (LONGEST + 10)]
    ids, role, lengths = flat(roles)
    ids[[0, 2, 4, 6, 8]] = torch.tensor([7, 3, 7, 3, 9])
    found = slots(ids, role, lengths)
    assert found.token_P[labels(found).index(("start", "user", 0))] == 3
    assert int((found.slot_N == labels(found).index(("start", "end", LONGEST))).sum()) == 10


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 5))
def test_counts_are_those_of_a_plain_loop(rows, latents):
    found = slots(*flat(rows))
    roles = [role for row in rows for role in row]
    assert [slot >= 0 for slot in found.slot_N.tolist()] == [role == T for role in roles]
    generator = torch.Generator().manual_seed(len(roles))
    token_N, latent_N = (torch.rand(len(roles), latents, generator=generator) > 0.5).nonzero(as_tuple=True)
    use = SlotUse(found.count, latents)
    use.add(token_N, latent_N, found.slot_N)
    use.add(token_N, latent_N, found.slot_N)
    entries = zip(token_N.tolist(), latent_N.tolist(), strict=True)
    wanted = Counter((int(found.slot_N[t]), f) for t, f in entries if found.slot_N[t] >= 0)
    assert {(p, f): int(use.active_PF[p, f]) for p, f in use.active_PF.nonzero().tolist()} == {
        key: 2 * times for key, times in wanted.items()
    }
    assert use.tokens_P.tolist() == [2 * int((found.slot_N == slot).sum()) for slot in range(found.count)]
