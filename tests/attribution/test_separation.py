"""The diff-SAE's measure against a dense computation, and on cases with a known answer."""

import numpy as np
import pytest
import torch
from made import make_dictionary, make_pairs

from crossdiff.attribution.measure import decoder_rows, series
from crossdiff.attribution.scaling import Products
from crossdiff.attribution.separation import Spread, separation_columns


def measured(directions_FD, codes, x_BLD, block_B, batch=97):
    """Columns of one pass over the tokens in batches."""
    products = Products({"chat": directions_FD}, ["activation_base", "activation_chat"], int(block_B.max()) + 1)
    spread = Spread(directions_FD, int(block_B.max()) + 1)
    token, latent, value = codes
    for at in torch.arange(len(x_BLD)).split(batch):
        here = (token >= at[0]) & (token <= at[-1])
        products.add((token[here] - at[0], latent[here], value[here]), x_BLD[at], block_B[at])
        spread.add(x_BLD[at], block_B[at])
    return separation_columns(products.finish(), spread.finish())


def made(f_BF):
    token, latent = f_BF.nonzero(as_tuple=True)
    return token, latent, f_BF[token, latent]


def test_equals_the_correlation_of_dense_projections():
    dictionary, x = make_dictionary("diff-sae"), make_pairs()
    direction = decoder_rows(dictionary)["chat"]
    found = measured(direction, dictionary.codes(dictionary.read(x)), x, torch.arange(300) // 60)
    f = dictionary.encode(dictionary.read(x)).double().numpy()
    for number, model in enumerate(("base", "chat")):
        y = (x[:, number].double() @ direction.double().T).numpy()
        expected = [np.corrcoef(f[:, j], y[:, j])[0, 1] for j in range(f.shape[1])]
        np.testing.assert_allclose(found[f"separation_{model}"].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert series(dictionary, x, x).shape[1] == 2


def test_blocks_are_deleted_whole():
    dictionary, x = make_dictionary("diff-sae"), make_pairs()
    direction, block = decoder_rows(dictionary)["chat"], torch.arange(300) // 60
    found = measured(direction, dictionary.codes(dictionary.read(x)), x, block)
    left = torch.stack(
        [
            measured(direction, dictionary.codes(dictionary.read(part)), part, torch.zeros(len(part)).long())[
                "separation_difference"
            ]
            for k in range(5)
            for part in [x[block != k]]
        ]
    ).numpy()
    expected = np.sqrt(4 / 5 * ((left - left.mean(0)) ** 2).sum(0))
    np.testing.assert_allclose(found["separation_difference_se"].numpy(), expected, rtol=2e-3)


@pytest.mark.parametrize(
    ("base", "chat", "difference"),
    [(0.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, 1.0, 0.0), (1.0, 3.0, 0.0), (-1.0, 1.0, 0.0)],
    ids=["new in chat", "taken away", "shared", "amplified threefold", "turned round"],
)
def test_known_cases(base, chat, difference):
    """f moves the streams along d by base·f and chat·f, with little else along it and much elsewhere."""
    generator = torch.Generator().manual_seed(3)
    f = torch.rand(4000, 1, generator=generator) * (torch.rand(4000, 1, generator=generator) < 0.1)
    direction = torch.tensor([[2.0, 0, 0, 0]])
    x = 5 * torch.randn(4000, 2, 4, generator=generator) + torch.tensor([100.0, -3, 0, 7])
    x[..., 0] = 100 + 0.01 * torch.randn(4000, 2, generator=generator) + 2 * f * torch.tensor([base, chat])
    found = measured(direction, made(f), x, torch.arange(4000) // 200)
    assert float(found["separation_difference"]) == pytest.approx(difference, abs=0.05)
    assert float(found["separation_difference_se"]) < 0.05
    assert bool(found["separation_chat_margin"] > 0) == (difference > 0.5)
    assert bool(found["separation_base_margin"] > 0) == (difference < -0.5)


def test_does_not_change_with_scale_or_shift():
    dictionary, x = make_dictionary("diff-sae"), make_pairs()
    direction, block = decoder_rows(dictionary)["chat"], torch.arange(300) // 60
    token, latent, value = dictionary.codes(dictionary.read(x))
    found = measured(direction, (token, latent, value), x, block)
    other = measured(direction / 7, (token, latent, 3 * value), 2 * x + torch.tensor([1.0, -4, 2, 0, 3, 5]), block)
    for name, column in found.items():
        torch.testing.assert_close(other[name], column, rtol=1e-3, atol=1e-4)


def test_a_latent_that_never_fires_is_not_measured():
    x = make_pairs(50)
    nothing = torch.zeros(0, dtype=torch.int64)
    found = measured(torch.ones(1, 6), (nothing, nothing, torch.zeros(0)), x, torch.arange(50) // 10)
    assert bool(found["separation_difference"].isnan().all())
    assert bool(found["separation_difference_se"].isnan().all())
