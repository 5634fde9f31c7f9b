"""Initialisation, normaliser, schedules, optimiser."""

import numpy as np
import pytest
import torch
from planted_data import small
from scipy.optimize import minimize

from crossdiff.dictionaries import normalise
from crossdiff.dictionaries.init import geometric_median, initial
from crossdiff.dictionaries.optimise import (
    active_latents,
    clip,
    learning_rate,
    move,
    next_threshold,
    no_moments,
    remove_parallel,
)
from crossdiff.dictionaries.parameters import Parameters
from crossdiff.errors import UserError


def test_crosscoder_starts_alike_in_both_models():
    x = torch.randn(50, 2 * 7)
    parameters = initial(small(init_norm=0.3), x, seed=0)
    rows = parameters.decoder_FLD(2)
    assert torch.equal(rows[:, 0], rows[:, 1])
    assert torch.equal(parameters.encoder_FI, parameters.decoder_FI)
    torch.testing.assert_close(rows.norm(dim=2), torch.full((24, 2), 0.3))
    assert not bool(parameters.encoder_bias_F.any())
    again, other = initial(small(init_norm=0.3), x, seed=0), initial(small(init_norm=0.3), x, seed=1)
    assert torch.equal(parameters.encoder_FI, again.encoder_FI)
    assert not torch.equal(parameters.encoder_FI, other.encoder_FI)
    assert parameters.encoder_FI.data_ptr() != parameters.decoder_FI.data_ptr()


def test_saes_start_with_unit_rows_whatever_init_norm():
    parameters = initial(small("diff-sae", init_norm=0.005), torch.randn(50, 7), seed=0)
    torch.testing.assert_close(parameters.decoder_FI.norm(dim=1), torch.ones(24))
    assert torch.equal(parameters.encoder_FI, parameters.decoder_FI)


def test_decoder_bias_starts_at_zero_for_l1_crosscoders_only():
    x = torch.randn(60, 2, 5) + 3
    flat = x.flatten(1)
    assert not bool(initial(small("crosscoder", "l1"), flat, 0).decoder_bias_I.any())
    median = geometric_median(x)
    assert torch.equal(initial(small("crosscoder"), flat, 0).decoder_bias_I, median.flatten())
    assert bool(initial(small("diff-sae", "l1"), x[:, 0], 0).decoder_bias_I.any())


def test_geometric_median_minimises_the_distances():
    x = torch.randn(40, 2, 3).exp()
    for model in range(2):
        points = x[:, model].double().numpy()
        best = minimize(lambda m, p=points: np.linalg.norm(p - m, axis=1).sum(), points.mean(0), tol=1e-12).x
        np.testing.assert_allclose(geometric_median(x)[model].numpy(), best, atol=1e-3)


def test_geometric_median_of_equal_points():
    assert torch.equal(geometric_median(torch.full((5, 1, 2), 3.0)), torch.full((1, 2), 3.0))


def test_normaliser_centres_and_scales_whatever_the_batching():
    x = torch.randn(1000, 2, 6) * torch.tensor([1.0, 3.0])[:, None] + 500
    fitted = normalise.fit(x.split(77))
    done = fitted(x)
    torch.testing.assert_close(done.mean(0), torch.zeros(2, 6), rtol=0, atol=1e-3)
    assert float(done.square().sum(2).mean()) == pytest.approx(6, rel=1e-4)
    plain = (6 / (x - x.mean(0)).square().sum(2).mean()).sqrt()
    assert float(fitted.scale) == pytest.approx(float(plain), rel=1e-4)


def test_normaliser_refuses_constant_and_no_activations():
    with pytest.raises(UserError, match="same activation"):
        normalise.fit([torch.ones(5, 1, 3)])
    with pytest.raises(UserError, match="no token"):
        normalise.fit([])


def test_learning_rate_warms_up_stays_and_falls():
    recipe = small(lr=1.0, steps=10, warmup_steps=4, decay_start=6, threshold_start=1)
    assert [learning_rate(recipe, s) for s in range(10)] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    )


def test_k_falls_linearly():
    recipe = small(k=4, k_start=12, k_anneal_steps=4)
    assert [active_latents(recipe, s) for s in range(6)] == [12, 10, 8, 6, 4, 4]
    assert active_latents(small(k=4), 0) == 4


def test_threshold_is_a_moving_average_from_its_start():
    recipe = small(threshold_start=2, threshold_decay=0.75)
    assert next_threshold(None, 5.0, recipe, 1) is None
    assert next_threshold(None, 5.0, recipe, 2) == 5.0
    assert next_threshold(5.0, 1.0, recipe, 3) == 4.0
    assert next_threshold(5.0, None, recipe, 3) == 5.0


def test_clipping_equals_pytorchs():
    gradients = [torch.randn(4, 3), torch.randn(5)]
    for largest in (0.5, 100.0):
        holders = [torch.zeros_like(g) for g in gradients]
        for holder, g in zip(holders, gradients, strict=True):
            holder.grad = g.clone()
        torch.nn.utils.clip_grad_norm_(holders, largest)
        mine = [g.clone() for g in gradients]
        clip(mine, largest)
        for a, b in zip(mine, holders, strict=True):
            torch.testing.assert_close(a, b.grad)


def test_remove_parallel_leaves_what_is_orthogonal():
    rows = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    gradient = torch.randn(6, 4)
    left = gradient.clone()
    remove_parallel(left, rows)
    torch.testing.assert_close((left * rows).sum(1), torch.zeros(6), rtol=0, atol=1e-6)
    torch.testing.assert_close(left, gradient - (gradient * rows).sum(1, keepdim=True) * rows)


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_moves_as_pytorchs_adam_does(clip_norm):
    recipe = small(clip_norm=clip_norm, lr=0.01, betas=(0.8, 0.95))
    parameters = initial(recipe, torch.randn(50, 2 * 5), seed=0)
    twins = [tensor.clone().requires_grad_() for tensor in parameters.tensors]
    adam = torch.optim.Adam(twins, betas=(0.8, 0.95))
    moments = no_moments(parameters)
    for step in range(8):
        gradients = Parameters(*(torch.randn(tensor.shape) for tensor in parameters.tensors))
        for twin, gradient in zip(twins, gradients.tensors, strict=True):
            twin.grad = gradient.clone()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(twins, clip_norm)
        adam.param_groups[0]["lr"] = learning_rate(recipe, step)
        adam.step()
        move(parameters, gradients, moments, recipe, step)
    for tensor, twin in zip(parameters.tensors, twins, strict=True):
        torch.testing.assert_close(tensor, twin.detach(), rtol=1e-5, atol=1e-6)
