"""The fast step against the plain one, and the plain one against formulas written out here."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_data import small

from crossdiff.dictionaries import decoupled, eager, sparse
from crossdiff.dictionaries.init import initial
from crossdiff.dictionaries.parameters import weight_of


def start(recipe, tokens, width, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, recipe.models * width, generator=g)
    parameters = initial(recipe, x, seed)
    for tensor in parameters.tensors:
        tensor += 0.1 * torch.randn(tensor.shape, generator=g)
    silent = torch.randint(0, 100, (recipe.latents,), generator=g)
    return parameters, x, silent


def same(a, b, tolerance=2e-5, least=1e-3):
    """Equal to fp32 rounding, relative to the largest entry of each gradient, or to ``least`` if that is larger."""
    assert (a.active, a.silent_F.tolist()) == (b.active, b.silent_F.tolist())
    assert float(a.loss) == pytest.approx(float(b.loss), rel=1e-5, abs=1e-6 * float(b.error_BI.square().max()))
    assert float(a.auxiliary) == pytest.approx(float(b.auxiliary), rel=1e-4)
    assert a.least_score == (None if b.least_score is None else pytest.approx(b.least_score, rel=1e-5))
    torch.testing.assert_close(a.error_BI, b.error_BI, rtol=1e-5, atol=1e-5)
    for one, other in zip(a.gradients.tensors, b.gradients.tensors, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * max(least, float(other.abs().max())))


@given(
    kind=st.sampled_from(["crosscoder", "diff-sae"]),
    sparsity=st.sampled_from(["batchtopk", "l1"]),
    loss=st.sampled_from(["norm", "squared"]),
    score=st.sampled_from(["sum", "concat", "mixed", "none"]),
    hybrid=st.sampled_from([0.0, -1.0, 0.4]),
    path=st.sampled_from(["sparse", "auto"]),
    tokens=st.sampled_from([1, 2, 7, 33]),
    width=st.integers(1, 9),
    latents=st.sampled_from([1, 2, 13, 97]),
    k=st.integers(1, 5),
    dead_after=st.sampled_from([1, 64, 10**7]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None)
def test_sparse_equals_eager(kind, sparsity, loss, score, hybrid, path, tokens, width, latents, k, dead_after, seed):
    k = min(k, latents)
    hybrid = hybrid if (kind, loss) == ("crosscoder", "squared") else 0.0
    recipe = small(
        kind,
        sparsity,
        loss=loss,
        score=score,
        hybrid=hybrid,
        path=path,
        latents=latents,
        k=k,
        dead_after_tokens=dead_after,
    )
    parameters, x, silent = start(recipe, tokens, width, seed)
    before = [tensor.clone() for tensor in parameters.tensors]
    done, wanted = (step(parameters, x, recipe, k, silent) for step in (sparse.step, eager.step))
    same(done, wanted, least=0.1 if hybrid else 1e-3)  # errors that cancel leave their own rounding
    assert all(torch.equal(a, b) for a, b in zip(before, parameters.tensors, strict=True))


@given(
    tokens=st.sampled_from([1, 2, 7, 33]),
    width=st.integers(1, 9),
    latents=st.sampled_from([1, 2, 13, 97]),
    k=st.integers(1, 5),
    dead_after=st.sampled_from([1, 64, 10**7]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_decoupled_equals_eager(tokens, width, latents, k, dead_after, seed):
    recipe = small("crosscoder", "decoupled", latents=latents, k=min(k, latents), dead_after_tokens=dead_after)
    parameters, x, silent = start(recipe, tokens, width, seed)
    done, wanted = (step(parameters, x, recipe, recipe.k, silent) for step in (decoupled.step, eager.step))
    torch.testing.assert_close(done.least_score, wanted.least_score, rtol=1e-5, atol=0)
    # What both models send into one encoder may cancel, and leaves its own rounding.
    same(replace(done, least_score=None), replace(wanted, least_score=None), least=0.1)


def test_each_model_selects_its_own_entries():
    """With a decoder far larger in chat, its selection is that of one model; base keeps as many of its own."""
    recipe = small("crosscoder", "decoupled", latents=30, k=3, dead_after_tokens=10**7)
    parameters, x, silent = start(recipe, 20, 6)
    parameters.decoder_FI[:, 6:] *= torch.linspace(1, 50, 30)[:, None]
    done = decoupled.step(parameters, x, recipe, 3, silent)
    f = (x @ parameters.encoder_FI.T + parameters.encoder_bias_F).clamp(min=0)
    error = x - parameters.decoder_bias_I
    for model, part in enumerate((slice(6), slice(6, 12))):
        rows = parameters.decoder_FI[:, part]
        score = f * rows.norm(dim=1)
        least = score.flatten().topk(60).values.min()
        assert float(done.least_score[model]) == pytest.approx(float(least), rel=1e-5)
        wanted = error[:, part] - (f * (score >= least)) @ rows
        torch.testing.assert_close(done.error_BI[:, part], wanted, rtol=1e-4, atol=1e-4)
    assert 60 < done.active <= 120


def test_sparse_equals_eager_at_a_size_that_samples():
    recipe = small(latents=701, k=5, dead_after_tokens=10**7)
    parameters, x, silent = start(recipe, 512, 12)
    same(sparse.step(parameters, x, recipe, 5, silent), eager.step(parameters, x, recipe, 5, silent))


@pytest.mark.parametrize("sparsity", ["batchtopk", "l1"])
@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_gradients_are_slopes(kind, sparsity):
    """Finite differences of the fast loss itself, in every group of parameters, with dead latents about."""
    recipe = small(kind, sparsity, latents=40, k=3, dead_after_tokens=64, score="sum")
    parameters, x, silent = start(recipe, 9, 6)
    done = sparse.step(parameters, x, recipe, 3, silent)
    assert sparsity == "l1" or float(done.auxiliary) > 0
    aux_error = done.error_BI
    for tensor, gradient in zip(parameters.tensors, done.gradients.tensors, strict=True):
        direction = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
        slope = float((gradient * direction).sum())
        losses = []
        for sign in (1, -1):
            moved = type(parameters)(*(t + sign * 1e-4 * direction if t is tensor else t for t in parameters.tensors))
            losses.append(frozen_loss(moved, x, recipe, silent, parameters, aux_error))
        assert slope == pytest.approx((losses[0] - losses[1]) / 2e-4, rel=2e-2, abs=2e-2)


def frozen_loss(parameters, x, recipe, silent, chosen_at, error_then):
    """The loss in float64, with the choice of entries, scores and the auxiliary target held where they were."""
    p = [tensor.double() for tensor in parameters.tensors]
    x = x.double()
    at = x - chosen_at.decoder_bias_I.double() if recipe.unit_norm else x
    then = (at @ chosen_at.encoder_FI.double().T + chosen_at.encoder_bias_F.double()).clamp(min=0)
    weight_then = weight_of(chosen_at, recipe).double()
    now = (x - p[3] if recipe.unit_norm else x) @ p[0].T + p[1]
    keep = then > 0
    if recipe.sparsity == "batchtopk":
        keep = eager.largest(then * weight_then, len(x) * 3)
    f = now * keep
    error = x - f @ p[2] - p[3]
    norm = error.view(len(x), recipe.models, -1).norm(dim=2)
    loss = (norm if recipe.loss_form == "norm" else norm**2).mean()
    if recipe.sparsity == "l1":
        weight = p[2].view(len(p[2]), recipe.models, -1).norm(dim=2).sum(1)
        return float(loss + recipe.l1 * (f * weight).sum(1).mean())
    dead = torch.where(keep.any(0), 0, silent + len(x)) >= recipe.dead_after_tokens
    chosen = min(x.shape[1] // recipe.models // 2, int(dead.sum()))
    score = torch.where(dead, then * weight_then, -torch.inf)
    mask = torch.zeros_like(score).scatter(1, score.topk(chosen, dim=1).indices, 1) * (then > 0)
    e = error_then.double()
    guess = (now * mask) @ p[2]
    aux = (guess - e).square().sum(1).mean() / (e - e.mean(0)).square().sum(1).mean()
    return float(loss + recipe.aux_weight * aux)


@pytest.mark.parametrize("step", [eager.step, sparse.step])
def test_hybrid_loss_is_the_formula(step):
    """study_spec §5 token by token, halved for the mean over models; −1 is the error of the difference alone."""
    found = {}
    for weight in (-1.0, 0.0, 0.3, None):
        recipe = small(loss="squared", dead_after_tokens=10**7, **({} if weight is None else {"hybrid": weight}))
        parameters, x, silent = start(recipe, 9, 6)
        done = found[weight] = step(parameters, x, recipe, 3, silent)
        base, chat = done.error_BI.double().view(9, 2, 6).unbind(1)
        wanted = (base**2).sum(1) + (chat**2).sum(1) + (weight or 0) * 2 * (base * chat).sum(1)
        assert float(done.loss) == pytest.approx(float(wanted.mean()) / 2, rel=1e-5)
    assert all(
        torch.equal(a, b) for a, b in zip(found[0].gradients.tensors, found[None].gradients.tensors, strict=True)
    )
    assert float(found[-1].loss) == pytest.approx(float((chat - base).square().sum(1).mean()) / 2, rel=1e-5)
    bias = found[-1].gradients.decoder_bias_I.view(2, 6)
    torch.testing.assert_close(bias[0], -bias[1])


@pytest.mark.parametrize("step", [eager.step, sparse.step])
def test_auxiliary_loss_is_the_formula(step):
    """study_spec §1.4 token by token: the strongest min(D // 2, dead) dead latents explain the detached error."""
    recipe = small(latents=30, k=2, dead_after_tokens=100)
    parameters, x, _ = start(recipe, 11, 8)
    silent = torch.where(torch.arange(30) % 2 == 0, 1000, 0)
    done = step(parameters, x, recipe, 2, silent)
    weight = weight_of(parameters, recipe)
    pre = (x @ parameters.encoder_FI.T + parameters.encoder_bias_F).clamp(min=0)
    dead = (done.silent_F >= 100).nonzero().squeeze(1).tolist()
    assert len(dead) > 4
    guess = torch.zeros_like(x)
    for token in range(len(x)):
        strongest = sorted(dead, key=lambda j: -float(pre[token, j] * weight[j]))[: 8 // 2]
        for j in strongest:
            guess[token] += pre[token, j] * parameters.decoder_FI[j]
    e = done.error_BI
    wanted = (guess - e).square().sum(1).mean() / (e - e.mean(0)).square().sum(1).mean()
    assert float(done.auxiliary) == pytest.approx(float(wanted), rel=1e-5)
    without = step(parameters, x, small(latents=30, k=2, dead_after_tokens=10**7), 2, silent)
    assert float(without.auxiliary) == 0
    assert float(done.loss) == pytest.approx(float(without.loss) + float(wanted) / 32, rel=1e-5)


@pytest.mark.parametrize("k", [1, 3, 24])
def test_exactly_n_times_k_entries_are_active(k):
    recipe = small(k=k)
    parameters, x, silent = start(recipe, 50, 6)
    positive = int((x @ parameters.encoder_FI.T + parameters.encoder_bias_F > 0).sum())
    done = sparse.step(parameters, x, recipe, k, silent)
    assert done.active == min(50 * k, positive)


@pytest.mark.parametrize("sparsity", ["batchtopk", "l1"])
@pytest.mark.parametrize("path", ["auto", "sparse", "eager"])
def test_all_dead_leaves_zero_codes_and_finite_gradients(sparsity, path):
    recipe = small(sparsity=sparsity, path=path, dead_after_tokens=10)
    parameters, x, silent = start(recipe, 16, 5)
    parameters.encoder_bias_F.fill_(-1e3)
    step = eager.step if path == "eager" else sparse.step
    done = step(parameters, x, recipe, 3, silent)
    assert (done.active, done.least_score) == (0, None)
    assert torch.equal(done.error_BI, x - parameters.decoder_bias_I)
    assert bool((done.silent_F == silent + 16).all())
    assert all(bool(torch.isfinite(gradient).all()) for gradient in done.gradients.tensors)
    assert not bool(done.gradients.encoder_FI.any())


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
@pytest.mark.parametrize("sparsity", ["batchtopk", "l1"])
def test_bf16_product_stays_close(kind, sparsity):
    parameters, x, silent = start(small(kind, sparsity, latents=200, k=8), 128, 32)
    exact = sparse.step(parameters, x, small(kind, sparsity, latents=200, k=8), 8, silent)
    rough = sparse.step(parameters, x, small(kind, sparsity, latents=200, k=8, matmul="bfloat16"), 8, silent)
    assert float(rough.loss) == pytest.approx(float(exact.loss), rel=5e-3)
    for a, b in zip(rough.gradients.tensors, exact.gradients.tensors, strict=True):
        assert float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)) > 0.99


def test_a_step_repeats_bit_for_bit():
    recipe = small(latents=701, k=5, matmul="bfloat16")
    parameters, x, silent = start(recipe, 512, 12)
    one, two = (sparse.step(parameters, x, recipe, 5, silent) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.gradients.tensors, two.gradients.tensors, strict=True))
