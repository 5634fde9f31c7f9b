"""β and ν against a naive NumPy implementation, planted latents, and their invariants."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made import make_dictionary, make_pairs

from crossdiff.attribution.measure import decoder_rows, series, writes
from crossdiff.attribution.scaling import Products, scaling_columns


def scale(dictionary, x_BLD, block_B=None, batch=64):
    """Columns of one pass over the tokens in batches."""
    block_B = torch.zeros(len(x_BLD), dtype=torch.int64) if block_B is None else block_B
    names = ["activation_base", "activation_chat"] + [f"residual_{model}" for model in writes(dictionary)]
    products = Products(decoder_rows(dictionary), names, int(block_B.max()) + 1)
    for x, block in zip(x_BLD.split(batch), block_B.split(batch), strict=True):
        codes = dictionary.codes(dictionary.read(x))
        taken = dictionary.taken(codes.value_N, codes.latent_N) if dictionary.decoupled else None
        products.add(codes, series(dictionary, x, dictionary.decode_codes(codes, len(x))), block, taken)
    return scaling_columns(products.finish(), writes(dictionary), dictionary.kind == "crosscoder")


def naive_betas(dictionary, x_BLD):
    """argmin_β Σ‖β f d − Y‖² latent by latent, with dense targets built from their definitions."""
    f_BF = dictionary.encode(dictionary.read(x_BLD)).double().numpy()
    d_LFD = dictionary.directions().double().numpy()
    x = x_BLD.double().numpy()
    r = dictionary.decode(torch.tensor(f_BF, dtype=torch.float32)).double().numpy()
    own_LBF = [f_BF, f_BF]
    if dictionary.decoupled:  # each model takes what its own score lets pass
        norm_LF = dictionary.decoder.double().norm(dim=-1).numpy()
        own_LBF = f_BF * (f_BF * norm_LF[:, None] > dictionary.threshold.double().numpy()[:, None, None])
    out = {}
    for g, direction in enumerate(("base", "chat")):
        for m, model in enumerate(("base", "chat")):
            for j in range(f_BF.shape[1]):
                part = own_LBF[m][:, j : j + 1] * d_LFD[m, j]
                targets = {
                    "activation": x[:, m],
                    "reconstruction": r[:, m],
                    "error": x[:, m] - (r[:, m] - part),
                }
                regressor = (f_BF[:, j : j + 1] * d_LFD[g, j]).ravel()
                for target, y in targets.items():
                    column = out.setdefault(f"beta_{direction}_{target}_{model}", [])
                    column.append(regressor @ y.ravel() / (regressor @ regressor))
                column = out.setdefault(f"beta_{direction}_centred_{model}", [])
                column.append(np.polyfit(f_BF[:, j], x[:, m] @ d_LFD[g, j], 1)[0] / (d_LFD[g, j] @ d_LFD[g, j]))
    return out


@pytest.mark.parametrize("decoupled", [False, True])
def test_betas_equal_the_naive_ones(decoupled):
    dictionary, x = make_dictionary(), make_pairs()
    if decoupled:
        dictionary = replace(dictionary, score="decoupled", threshold=torch.tensor([0.6, 1.8]))
    found, expected = scale(dictionary, x), naive_betas(dictionary, x)
    assert set(expected) == {name for name in found if name.startswith("beta")}
    for name, column in expected.items():
        np.testing.assert_allclose(found[name].numpy(), column, rtol=2e-4, atol=2e-5, err_msg=name)
    ratio = np.array(expected["beta_chat_error_base"]) / np.array(expected["beta_chat_error_chat"])
    np.testing.assert_allclose(found["nu_error"].numpy(), ratio, rtol=2e-3)
    ratio = np.array(expected["beta_base_reconstruction_chat"]) / np.array(expected["beta_base_reconstruction_base"])
    np.testing.assert_allclose(found["nu_reconstruction_base"].numpy(), ratio, rtol=2e-3)


def test_identity_between_the_targets():
    dictionary = make_dictionary(seed=3)
    found = scale(dictionary, make_pairs())
    d = dictionary.directions().double()
    for g, direction in enumerate(("base", "chat")):
        for m, model in enumerate(("base", "chat")):
            shared = (d[g] * d[m]).sum(-1) / d[g].square().sum(-1)
            parts = {t: found[f"beta_{direction}_{t}_{model}"] for t in ("activation", "reconstruction", "error")}
            torch.testing.assert_close(parts["activation"], parts["reconstruction"] + parts["error"] - shared)


def test_batches_and_blocks_do_not_matter():
    dictionary, x = make_dictionary(), make_pairs(257)
    whole = scale(dictionary, x, batch=257)
    block_B = torch.arange(257) // 40
    parts = scale(dictionary, x, block_B, batch=31)
    for name in whole:
        if name.startswith("beta") or name == "nu_error":
            torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-5)


def test_scale_of_a_code_does_not_matter():
    dictionary, x = make_dictionary(threshold=0.0), make_pairs()
    factor = torch.linspace(0.2, 5, 11)
    other = replace(
        dictionary,
        encoder=dictionary.encoder * factor,
        encoder_bias=dictionary.encoder_bias * factor,
        decoder=dictionary.decoder / factor[:, None],
    )
    found, expected = scale(other, x), scale(dictionary, x)
    for name in ("nu_reconstruction", "nu_error", "nu_activation", "nu_activation_base"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)


def test_planted_latent_gets_its_factor():
    """Y = β·f·d + noise orthogonal to d has that β exactly, in each model."""
    generator = torch.Generator().manual_seed(5)
    direction = torch.randn(1, 8, generator=generator)
    f = torch.rand(200, 1, generator=generator) * (torch.rand(200, 1, generator=generator) < 0.4)
    noise = 10 * torch.randn(200, 2, 8, generator=generator)
    noise -= noise @ direction.T @ direction / direction.square().sum()
    planted = torch.tensor([0.25, -2.0])
    y = noise + planted[:, None] * (f * direction)[:, None]
    token, latent = f.nonzero(as_tuple=True)
    products = Products({"chat": direction}, ["activation_base", "activation_chat"], 1)
    products.add((token, latent, f[token, latent]), y, torch.zeros(200, dtype=torch.int64))
    found = scaling_columns(products.finish(), {}, crosscoder=False)
    assert float(found["beta_chat_activation_base"]) == pytest.approx(0.25, abs=1e-5)
    assert float(found["beta_chat_activation_chat"]) == pytest.approx(-2, abs=1e-5)
    assert float(found["nu_activation"]) == pytest.approx(-0.125, abs=1e-5)


def test_identical_models_have_nu_one():
    dictionary = make_dictionary()
    same = {name: torch.stack([tensor[1]] * 2) for name, tensor in dictionary.tensors.items() if tensor.dim() > 1}
    dictionary = replace(dictionary, **same)
    x = make_pairs()[:, 1:].expand(-1, 2, -1)
    found = scale(dictionary, x, torch.arange(len(x)) // 30)
    for name in ("nu_reconstruction", "nu_error", "nu_activation", "nu_activation_base", "nu_centred"):
        torch.testing.assert_close(found[name], torch.ones_like(found[name]), rtol=1e-4, atol=1e-4)
    assert float(found["nu_activation_se"].max()) < 1e-4


def test_never_active_is_nan_and_not_valid():
    dictionary = make_dictionary()
    bias = dictionary.encoder_bias.clone()
    bias[4] = -1e6
    found = scale(replace(dictionary, encoder_bias=bias), make_pairs(), torch.arange(300) // 30)
    assert bool(found["nu_error"][4].isnan())
    assert bool(found["nu_activation_se"][4].isnan())
    assert not bool(found["nu_valid"][4])
    assert not bool(found["nu_error"][:4].isnan().any())


def test_jackknife_equals_recomputation_without_each_block():
    dictionary, x = make_dictionary(), make_pairs()
    block_B = torch.arange(300) // 60
    found = scale(dictionary, x, block_B)
    deleted = [scale(dictionary, x[block_B != k]) for k in range(5)]
    for target in ("activation", "reconstruction", "error", "centred"):
        for side in ("", "_base"):
            values = torch.stack([part[f"nu_{target}{side}"] for part in deleted]).numpy()
            expected = np.sqrt(4 / 5 * ((values - values.mean(0)) ** 2).sum(0))
            found_F = found[f"nu_{target}_se{side}"].numpy()
            np.testing.assert_allclose(found_F, expected, rtol=5e-3, err_msg=target + side)
    beta = torch.stack([part["beta_chat_activation_chat"] for part in deleted]).numpy()
    error = np.sqrt(4 / 5 * ((beta - beta.mean(0)) ** 2).sum(0))
    expected = np.abs(found["beta_chat_activation_chat"].numpy()) > 2 * error
    assert found["nu_valid"].tolist() == expected.tolist()


@pytest.mark.parametrize(("kind", "defined"), [("chat-sae", "chat"), ("base-sae", "base"), ("diff-sae", None)])
def test_saes_have_only_the_targets_that_are_defined(kind, defined):
    dictionary, x = make_dictionary(kind), make_pairs()
    found = scale(dictionary, x)
    expected = {f"beta_chat_{target}_{model}" for target in ("activation", "centred") for model in ("base", "chat")}
    if defined:
        expected |= {f"beta_chat_{target}_{defined}" for target in ("reconstruction", "error")}
        f = dictionary.encode(dictionary.read(x)).double()
        r = dictionary.decode(f.float())[:, 0].double()
        d, y = dictionary.directions()[0].double(), x[:, ("base", "chat").index(defined)].double()
        for j in range(11):
            target = y - r + f[:, j : j + 1] * d[j]
            beta = (target @ d[j] @ f[:, j]) / (d[j] @ d[j] * (f[:, j] @ f[:, j]))
            torch.testing.assert_close(found[f"beta_chat_error_{defined}"][j], beta, rtol=1e-3, atol=1e-4)
    assert {name for name in found if name.startswith("beta")} == expected
    assert "nu_activation" in found
    assert "nu_error" not in found
    assert ("nu_centred_base" in found) == (kind == "base-sae")


def test_a_shift_of_all_tokens_leaves_the_centred_target_alone():
    """A dense mean shift of chat, such as any tune makes, moves ν of the activation but not the centred one."""
    dictionary, x = make_dictionary(), make_pairs()
    codes, same = dictionary.codes(dictionary.read(x)), torch.arange(300) // 60

    def nu(streams):
        products = Products(decoder_rows(dictionary), ["activation_base", "activation_chat"], 5)
        products.add(codes, streams, same)
        return scaling_columns(products.finish(), {}, crosscoder=False)

    shifted = x + torch.tensor([[0.0], [30.0]])
    before, after = nu(x), nu(shifted)
    torch.testing.assert_close(after["nu_centred"], before["nu_centred"], rtol=1e-2, atol=1e-3)
    assert float((after["nu_activation"] - before["nu_activation"]).abs().median()) > 0.1
