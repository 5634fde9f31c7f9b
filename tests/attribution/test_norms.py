import torch
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.attribution.norms import classes, cosine, delta_norm

norms = st.lists(st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)), min_size=1, max_size=20)


@given(norms, st.floats(1e-3, 1e3))
def test_delta_norm_is_a_share_that_scale_and_swap_respect(pairs, factor):
    base, chat = torch.tensor(pairs, dtype=torch.float64).T
    delta = delta_norm(base, chat)
    assert bool(((delta >= 0) & (delta <= 1)).all())
    torch.testing.assert_close(delta_norm(factor * base, factor * chat), delta)
    torch.testing.assert_close(delta_norm(chat, base), 1 - delta)


def test_delta_norm_at_the_ends_and_the_middle():
    delta = delta_norm(torch.tensor([0.0, 2.0, 3.0, 1.0, 0.0]), torch.tensor([1.0, 2.0, 0.0, 2.0, 0.0]))
    assert delta[:4].tolist() == [1.0, 0.5, 0.0, 0.75]
    assert bool(delta[4].isnan())


def test_class_limits_are_strict():
    delta = torch.tensor([0.0, 0.1, 0.0999, 0.9, 0.9001, 0.41, 0.59, 0.39, torch.nan], dtype=torch.float64)
    assert classes(delta) == [
        "base-only", "other", "base-only", "other", "chat-only", "shared", "shared", "other", "other",
    ]  # fmt: skip


def test_cosine():
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    b = torch.tensor([[-2.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    found = cosine(a, b)
    torch.testing.assert_close(found[:2], torch.tensor([-1.0, 0.5**0.5]))
    assert bool(found[2].isnan())
