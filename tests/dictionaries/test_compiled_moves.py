"""Kernels that move parameters and copy them in short forms, against plain statements."""

from dataclasses import replace

import pytest
import torch
from planted_data import Planted, small
from test_compiled import plain
from test_step import start

from crossdiff.dictionaries import adam, normalise, optimise, sparse
from crossdiff.dictionaries.parameters import Parameters
from crossdiff.dictionaries.train import Trainer

pytest.importorskip("numba")
passes = pytest.importorskip("crossdiff.dictionaries.compiled.passes")
moving = pytest.importorskip("crossdiff.dictionaries.compiled.moving")


@pytest.mark.parametrize("shape", [(1,), (17,), (1, 1), (5, 3), (33, 70)])
@pytest.mark.parametrize("factor", [None, 0.25])
def test_adam_equals_its_plain_statement(shape, factor, threads):
    g = torch.Generator().manual_seed(3)
    given = [torch.randn(shape, generator=g) for _ in range(3)] + [torch.rand(shape, generator=g)]
    mine, other = ([tensor.clone() for tensor in given] for _ in range(2))
    copy = torch.empty(shape, dtype=torch.bfloat16) if len(shape) == 2 else None
    rule = adam.rule(0.01, (0.9, 0.99), 4, None if factor is None else torch.tensor(factor))
    eight = passes.coarse(torch.ones(shape)) if len(shape) == 2 else None
    passes.update(*mine, rule, short=copy, eight=eight)
    adam.update(*other, None, rule, 0)
    for one, two in zip(mine, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)
    if copy is not None:
        assert torch.equal(copy, mine[0].to(torch.bfloat16))
        assert all(torch.equal(one, two) for one, two in zip(eight, passes.coarse(mine[0]), strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (40, 64)])
def test_eight_bits_are_the_nearest(shape, threads):
    value = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * torch.logspace(-15, 15, shape[0])[:, None]
    value[-1] = 0
    eight, scale, reach = passes.coarse(value)
    torch.testing.assert_close(scale, value.abs().amax(1) / 127)
    wanted = (value.double().square().sum(1) / 12).sqrt().float()
    assert torch.equal(reach.isinf(), ((eight == 0) & (value != 0)).sum(1) * 3 > shape[1])
    torch.testing.assert_close(reach[reach.isfinite()], wanted[reach.isfinite()])
    assert eight[-1].eq(0).all()
    assert scale[-1] == 0
    assert eight[:-1].abs().amax(1).eq(127).all()
    assert ((eight * scale[:, None] - value).abs() <= 0.5001 * scale[:, None]).all()


def test_a_row_that_one_number_rules_says_so():
    row = torch.linspace(-1, 1, 65)
    rows = torch.stack([row, row, row, torch.zeros(65)])
    rows[1, 0], rows[2, 0], rows[3, 0] = 60, 200, 5
    assert passes.coarse(rows).reach_M.isinf().tolist() == [False, False, True, False]
    assert passes.coarse(torch.full((1, 3), 1e-35)).eight_MI.eq(0).all()


def test_bf16_is_rounded_as_pytorch_rounds():
    """Ties to even, carries into the exponent, numbers below the least normal one, and both zeros."""
    bits_ = torch.arange(0, 2**31 - 2**23, 65_521, dtype=torch.int64)
    near = torch.tensor([0x3F808000, 0x3F818000, 0x3F80FFFF, 0x7F7F7FFF, 1, 0x8000, 0x18000, 0])
    number = torch.cat([bits_, near]).int().view(torch.float32)
    number = torch.cat([number, -number])[None]
    copy = torch.empty(number.shape, dtype=torch.bfloat16)
    still = adam.rule(0.0, (0.0, 0.0), 0, None)
    passes.update(
        number, torch.zeros_like(number), torch.zeros_like(number), torch.ones_like(number), still, short=copy
    )
    assert torch.equal(copy.view(torch.int16), number.to(torch.bfloat16).view(torch.int16))


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
@pytest.mark.parametrize("largest", [None, 0.01, 1e6])
def test_moves_as_pytorch_does(kind, largest):
    recipe = small(kind, clip_norm=largest, latents=13, k=2)
    parameters, x, silent = start(recipe, 9, 6)
    if recipe.unit_norm:
        optimise.to_unit(parameters.decoder_FI)
    ways = []
    for call in (lambda function, *given: function(*given), plain):
        moved = Parameters(*(tensor.clone() for tensor in parameters.tensors))
        moments = optimise.no_moments(moved)
        for step in range(3):
            done = call(sparse.step, moved, x, recipe, 2, silent)
            call(optimise.move, moved, done.gradients, moments, recipe, step, done.norm, done.sums_2F)
        ways.append([*moved.tensors, *moments.mean.tensors, *moments.square.tensors])
    for one, other in zip(*ways, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    if recipe.unit_norm:
        torch.testing.assert_close(ways[0][2].norm(dim=1), torch.ones(13))


def test_the_copy_of_the_encoder_follows_it():
    """Whichever way it is moved; what reads in fp32, or plainly, keeps none."""
    planted = Planted(latents=12)
    x = planted.batch(64, 0)
    fitted = normalise.fit([x])
    recipe = small(matmul="bfloat16")
    for moments in ("float32", "bfloat16"):
        trainer = Trainer(replace(recipe, moments=moments), fitted, 0)
        before = None
        for _ in range(3):
            trainer.learn(x)
            parameters = trainer.state.parameters
            assert torch.equal(parameters.short_FI, parameters.encoder_FI.to(torch.bfloat16))
            assert before is None or not torch.equal(parameters.short_FI, before)
            before = parameters.short_FI.clone()
    for other in (replace(recipe, matmul="float32"), replace(recipe, path="eager")):
        trainer = Trainer(other, fitted, 0)
        trainer.learn(x)
        assert trainer.state.parameters.short_FI is None


def test_kernels_and_adam_know_one_epsilon():
    assert moving.EPSILON == adam.EPSILON
