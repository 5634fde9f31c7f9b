"""Principal components of chat − base: exact where the difference has no more of them, and least squares elsewhere."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdiff.evidence.components import Components, difference, principal


@settings(max_examples=30)
@given(tokens=st.integers(2, 20), width=st.integers(1, 9), rank=st.integers(1, 9), most=st.integers(1, 12))
def test_as_many_as_the_difference_has_give_it_back(tokens: int, width: int, rank: int, most: int) -> None:
    generator = torch.Generator().manual_seed(tokens * width + rank)
    delta_ND = 3 + torch.randn(tokens, rank, generator=generator) @ torch.randn(rank, width, generator=generator)
    found = principal(delta_ND, most)
    kept = len(found.basis_CD)
    assert kept <= min(most, rank, width, tokens - 1)
    torch.testing.assert_close(found.basis_CD @ found.basis_CD.T, torch.eye(kept), rtol=1e-4, atol=1e-4)
    if most >= min(rank, width, tokens - 1):
        torch.testing.assert_close(found.reconstruct(delta_ND), delta_ND, rtol=1e-3, atol=1e-3)


def test_no_other_directions_leave_less() -> None:
    generator = torch.Generator().manual_seed(0)
    delta_ND = torch.randn(200, 8, generator=generator) * torch.arange(1, 9).float()
    found = principal(delta_ND, 3)
    left = (delta_ND - found.reconstruct(delta_ND)).square().sum()
    centred = delta_ND - delta_ND.mean(0)
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred)
    torch.testing.assert_close(left, eigenvalues[:5].sum(), rtol=1e-4, atol=1e-2)
    for seed in range(5):
        other = torch.linalg.qr(torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))).Q.T
        assert (delta_ND - Components(found.mean_D, other).reconstruct(delta_ND)).square().sum() > left


def test_the_difference_is_chat_less_base() -> None:
    x_TLD = torch.tensor([[[1.0, 2.0], [4.0, 1.0]]], dtype=torch.bfloat16)
    assert difference(x_TLD).tolist() == [[3.0, -1.0]]
