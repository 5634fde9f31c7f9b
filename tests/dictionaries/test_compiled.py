"""Kernels for CPUs against the plain statements that stand in wherever they cannot serve."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_data import Planted, small
from test_step import same, start

from crossdiff.dictionaries import adam, compiled, decoupled, eager, normalise, select, sparse
from crossdiff.dictionaries.codes import SparseCodes
from crossdiff.dictionaries.train import train

pytest.importorskip("numba")
passes = pytest.importorskip("crossdiff.dictionaries.compiled.passes")
kernels = pytest.importorskip("crossdiff.dictionaries.compiled.kernels")
moving = pytest.importorskip("crossdiff.dictionaries.compiled.moving")


def plain(function, *given):
    """Calls a function as if numba was not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "serve", lambda tensor: False)
        return function(*given)


@given(
    tokens=st.integers(1, 7),
    latents=st.integers(1, 70),
    bf16=st.booleans(),
    quantile=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_entries_equal_the_plain_ones(tokens, latents, bf16, quantile, seed):
    """Whatever the shape, the type and the number of entries above, and where no level is finite."""
    g = torch.Generator().manual_seed(seed)
    value = torch.randn(tokens, latents, generator=g).to(torch.bfloat16 if bf16 else torch.float32)
    level = value.float().quantile(quantile).clamp_min(0) * (0.5 + torch.rand(latents, generator=g))
    level[torch.rand(latents, generator=g) < 0.1] = torch.inf
    weight = torch.rand(latents, generator=g)
    for mine, other in zip(
        select.entries(value, level, weight), plain(select.entries, value, level, weight), strict=True
    ):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_more_entries_than_there_was_room_for(kind, threads):
    value = (torch.rand(300, 128) + 1).to(kind)
    assert value.numel() > threads * (1024 + passes.ROOM * value.numel())
    found = select.entries(value, torch.zeros(128), torch.ones(128))
    assert found.flat_N.tolist() == list(range(300 * 128))
    assert torch.equal(found.value_N.view(300, 128), value.float())


def test_what_is_no_number_is_not_above_and_what_is_infinite_is():
    value = torch.tensor([[torch.nan, 1.0, torch.inf, -torch.inf]])
    assert select.entries(value, torch.zeros(4), torch.ones(4)).flat_N.tolist() == [1, 2]


CODES = {
    "tokens": st.integers(1, 9),
    "latents": st.integers(1, 20),
    "width": st.integers(1, 40),
    "inputs": st.integers(1, 40),
    "density": st.sampled_from([0.0, 0.2, 1.0]),
    "bf16": st.booleans(),
    "seed": st.integers(0, 1000),
}


@given(**CODES)
@settings(max_examples=100, deadline=None)
def test_codes_equal_the_plain_ones(tokens, latents, width, inputs, density, bf16, seed):
    g = torch.Generator().manual_seed(seed)
    kind = torch.bfloat16 if bf16 else torch.float32
    flat = (torch.rand(tokens * latents, generator=g) < density).nonzero().squeeze(1)
    value = torch.rand(len(flat), generator=g)
    decoder, x = torch.randn(latents, width, generator=g), torch.randn(tokens, width, generator=g)
    bias, charge = torch.randn(width, generator=g), torch.randn(latents, generator=g)
    delta, input_ = torch.randn(tokens, width, generator=g).to(kind), torch.randn(tokens, inputs, generator=g).to(kind)

    def outcome():
        codes = SparseCodes.of(flat, value, tokens, latents)
        pulled = codes.pull(decoder, delta, input_, charge if seed % 2 else None)
        return [codes.error(x, decoder, bias), codes.total(), codes.fired(), *pulled.gradients], pulled.sums_2F

    mine, sums = outcome()
    wanted, none = plain(outcome)
    assert none is None
    for one, other in zip(mine, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
    encoder, encoder_bias, decoder_gradient = (tensor.double() for tensor in wanted[3:])
    squares = encoder.square().sum(1) + encoder_bias.square() + decoder_gradient.square().sum(1)
    torch.testing.assert_close(sums[0].double(), squares, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sums[1].double(), (decoder_gradient * decoder).sum(1), rtol=1e-4, atol=1e-3)
    measured = passes.measured(tuple(mine[3:]), decoder)
    torch.testing.assert_close(measured, sums, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (4, 5), (41, 64)])
def test_weighted_rows_are_summed(kind, shape, threads):
    g = torch.Generator().manual_seed(1)
    weight, rows = torch.randn(shape[0], generator=g), torch.randn(shape, generator=g).to(kind)
    wanted = (weight.double() @ rows.double()).float()
    torch.testing.assert_close(passes.summed(weight, rows), wanted, rtol=1e-5, atol=1e-5)


def test_the_sums_include_what_revives_dead_latents():
    recipe = small("diff-sae", latents=40, k=3, dead_after_tokens=1, path="sparse")
    parameters, x, silent = start(recipe, 9, 6)
    done = sparse.step(parameters, x, recipe, 3, silent)
    assert float(done.auxiliary) > 0
    gradients = done.gradients
    of_latents = gradients.encoder_FI, gradients.encoder_bias_F, gradients.decoder_FI
    torch.testing.assert_close(done.sums_2F, passes.measured(of_latents, parameters.decoder_FI), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "sparsity", "step"),
    [("crosscoder", "batchtopk", sparse), ("diff-sae", "batchtopk", sparse), ("crosscoder", "l1", sparse),
     ("crosscoder", "decoupled", decoupled)],
)  # fmt: skip
def test_without_numba_a_step_equals_eager_too(kind, sparsity, step):
    recipe = small(kind, sparsity, latents=97, k=3, dead_after_tokens=64)
    parameters, x, silent = start(recipe, 33, 6)
    done = plain(step.step, parameters, x, recipe, 3, silent)
    wanted = eager.step(parameters, x, recipe, 3, silent)
    if recipe.decoupled:
        torch.testing.assert_close(done.least_score, wanted.least_score, rtol=1e-5, atol=0)
        done, wanted = replace(done, least_score=None), replace(wanted, least_score=None)
    assert done.sums_2F is None
    same(done, wanted, least=0.1 if recipe.decoupled else 1e-3)


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_rows_do_not_depend_on_the_number_of_threads(kind):
    """Entries, errors, gradients and moves, bit for bit; what sums over rows is PyTorch's."""
    recipe = small(kind, latents=97, k=3, dead_after_tokens=10**7, matmul="float32")
    parameters, x, _ = start(recipe, 64, 30)
    pre = torch.randn(64, 97, generator=torch.Generator().manual_seed(1))
    outcomes = []
    for count in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        found = select.entries(pre, torch.full([97], 1.5), torch.ones(97))
        codes = SparseCodes.of(found.flat_N, found.value_N, 64, 97)
        pulled = codes.pull(parameters.decoder_FI, x, x, None)
        moments = [torch.zeros_like(parameters.decoder_FI) for _ in range(2)]
        given = [parameters.decoder_FI.clone(), pulled.decoder_FI, *moments]
        passes.update(*given, adam.rule(0.1, (0.9, 0.99), 0, None), along_M=pulled.sums_2F[1])
        error = codes.error(x, parameters.decoder_FI, parameters.decoder_bias_I)
        felt = passes.summed(pulled.encoder_bias_F, parameters.encoder_FI)
        outcomes.append([*found, error, *pulled, *given, felt])
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*outcomes, strict=True))


def test_a_training_without_numba_learns_the_same():
    planted = Planted(latents=12)
    fitted = normalise.fit([planted.batch(256, 0)])
    recipe = small(steps=40)
    _, mine = train(planted.batches(64), recipe, fitted, 0)
    _, other = plain(train, planted.batches(64), recipe, fitted, 0)
    for one, two in zip(mine, other, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
        assert one["l0"] == pytest.approx(two["l0"], rel=1e-2)


def test_a_training_taken_up_has_its_copy_again(tmp_path):
    planted, recipe = Planted(), small(matmul="bfloat16", steps=30, checkpoint_every=10)
    fitted = normalise.fit([planted.batch(256, 0)])
    whole, curves = train(planted.batches(64), recipe, fitted, 0)

    def stop(steps):
        stops.append(steps)
        if sum(stops) == 13:
            raise KeyboardInterrupt

    stops = []
    with pytest.raises(KeyboardInterrupt):
        train(planted.batches(64), recipe, fitted, 0, kept_in=tmp_path / "state", on_step=stop)
    begun = []
    again, others = train(planted.batches(64), recipe, fitted, 0, kept_in=tmp_path / "state", on_step=begun.append)
    assert begun[0] == 10
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in whole.tensors.items())
    timeless = [[{k: v for k, v in point.items() if k != "tokens_per_second"} for point in c] for c in (curves, others)]
    assert timeless[0] == timeless[1]
