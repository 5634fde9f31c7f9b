"""Whole trainings: one battery for every kind and sparsity."""

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from planted_data import CASES, Planted, numpy_decode, numpy_encode, small

from crossdiff.dictionaries import decoupled, normalise, sparse
from crossdiff.dictionaries.checkpoint import State
from crossdiff.dictionaries.init import initial
from crossdiff.dictionaries.metrics import validate
from crossdiff.dictionaries.optimise import no_moments
from crossdiff.dictionaries.train import export, train
from crossdiff.errors import UserError


def run(recipe, planted=None, seed=0, **options):
    planted = planted or Planted(recipe.models)
    fitted = normalise.fit([planted.batch(2000, 1)])
    return train(planted.batches(recipe.batch), recipe, fitted, seed, **options)


def identical(a, b):
    return all(torch.equal(t, b.tensors[name]) for name, t in a.tensors.items())


def shown(curves):
    """Curves without their clock."""
    return [{key: value for key, value in point.items() if key != "tokens_per_second"} for point in curves]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def trained(request):
    kind, sparsity = request.param
    recipe = small(kind, sparsity, steps=120, matmul="bfloat16")
    return recipe, *run(recipe)


def test_shapes_and_meaning(trained):
    recipe, dictionary, _ = trained
    assert dictionary.shape == (recipe.models, 20, 24)
    assert (dictionary.kind, dictionary.score) == (recipe.kind, recipe.score_form)
    assert bool((dictionary.threshold > 0).all()) == (recipe.sparsity == "batchtopk")
    assert dictionary.about["recipe"]["k"] == recipe.k


def test_loss_falls_and_variance_is_explained(trained):
    recipe, _, curves = trained
    assert [point["step"] for point in curves] == list(range(10, 121, 10))
    assert curves[-1]["loss"] < 0.8 * curves[0]["loss"]
    assert curves[-1]["fve"] > max(0.5, curves[0]["fve"])
    assert (curves[-1]["fve_chat"] is None) == (recipe.models == 1)
    assert all(0 <= point["dead"] <= 1 and point["tokens_per_second"] > 0 for point in curves)
    if recipe.sparsity == "batchtopk":
        # Of so few latents it happens that fewer than batch × k are above 0 where each model selects for itself.
        least, most = (0.95 * recipe.k, 2 * recipe.k) if recipe.decoupled else (recipe.k, recipe.k)
        assert all(least <= point["l0"] <= most for point in curves)


def test_export_agrees_with_numpy(trained):
    recipe, dictionary, _ = trained
    x = Planted(recipe.models).batch(30, 5)
    f = dictionary.encode(x)
    wanted = numpy_encode(dictionary, x)
    np.testing.assert_allclose(f.numpy(), wanted, atol=1e-4)
    np.testing.assert_allclose(dictionary.decode(f).numpy(), numpy_decode(dictionary, wanted), atol=1e-3)


@pytest.mark.parametrize(("kind", "sparsity"), CASES)
def test_export_encodes_as_training_did(kind, sparsity):
    """With θ at the least kept score, the dictionary's codes and errors are those of the training step."""
    recipe = small(kind, sparsity)
    x = Planted(recipe.models).batch(64, 3)
    fitted = normalise.fit([x])
    parameters = initial(recipe, fitted(x).flatten(1), seed=0)
    for tensor in parameters.tensors:
        tensor += 0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(2))
    silent = torch.zeros(recipe.latents, dtype=torch.int64)
    step = decoupled.step if recipe.decoupled else sparse.step
    done = step(parameters, fitted(x).flatten(1), recipe, recipe.k, silent)
    threshold = None if done.least_score is None else done.least_score * (1 - 1e-5)
    dictionary = export(State(parameters, no_moments(parameters), silent, threshold, 0, []), recipe, fitted, {})
    f = dictionary.encode(x)
    assert int((f > 0).sum()) == done.active
    error = (x - dictionary.decode(f)) * fitted.scale
    torch.testing.assert_close(error.flatten(1), done.error_BI, rtol=1e-4, atol=1e-4)


def test_validation_equals_plain_sums(trained):
    recipe, dictionary, _ = trained
    x = Planted(recipe.models).batch(500, 6)
    found = validate(dictionary, x.split(64))
    f = numpy_encode(dictionary, x)
    error = x.double().numpy() - numpy_decode(dictionary, f)
    spread = x.double().numpy() - x.double().numpy().mean(0)
    assert found["fve"] == pytest.approx(1 - (error**2).sum() / (spread**2).sum(), abs=1e-4)
    assert found["l0"] == pytest.approx((f > 0).sum() / 500, abs=0.01)
    assert found["dead"] == pytest.approx((f == 0).all(0).mean())
    assert ("fve_base" in found) == (recipe.models == 2)
    if recipe.models == 2:
        each = 1 - (error**2).sum((0, 2)) / (spread**2).sum((0, 2))
        assert [found["fve_base"], found["fve_chat"]] == pytest.approx(each.tolist(), abs=1e-4)


def test_threshold_mode_keeps_about_k(trained):
    recipe, dictionary, _ = trained
    if recipe.sparsity == "batchtopk":
        found = validate(dictionary, [Planted(recipe.models).batch(2000, 8)])["l0"]
        assert 0.75 * recipe.k <= found <= 1.25 * recipe.k * (2 if recipe.decoupled else 1)


def test_unit_norms_are_kept_by_saes_only(trained):
    recipe, dictionary, _ = trained
    norms = dictionary.decoder.norm(dim=2)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-5) == (recipe.models == 1)


@pytest.mark.parametrize(("kind", "sparsity", "noise"), [*((*case, False) for case in CASES), (*CASES[0], True)])
def test_resumed_training_equals_an_uninterrupted_one(kind, sparsity, noise, tmp_path):
    """Stopped between checkpoints: the last one is taken up, and the end is the same bit for bit."""
    recipe = small(kind, sparsity, k_start=6, k_anneal_steps=30, decay_start=40, noise=noise)
    kept_in = tmp_path / "checkpoint.safetensors"
    whole, curves = run(recipe)

    class StoppedError(Exception):
        pass

    done = []

    def stop(steps):
        done.append(steps)
        if sum(done) == 47:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(recipe, kept_in=kept_in, fingerprint="a", on_step=stop)
    begun = []
    resumed, resumed_curves = run(recipe, kept_in=kept_in, fingerprint="a", on_step=begun.append)
    assert (begun[0], sum(begun)) == (40, recipe.steps)
    assert identical(whole, resumed)
    assert shown(curves) == shown(resumed_curves)


def test_base_minus_chat_is_learnt_as_the_negative_of_other_data():
    """Bit for bit, and the file holds the dictionary of chat − base."""
    planted, recipe = Planted(1), small("diff-sae")
    forth, curves = run(replace(recipe, difference="base - chat"), planted)

    def negative(start):
        return (-x for x in planted.batches(recipe.batch)(start))

    back, others = train(negative, recipe, normalise.fit([-planted.batch(2000, 1)]), 0)
    assert identical(forth, back.negated())
    assert shown(curves) == shown(others)
    x = planted.batch(40, 3)
    assert torch.equal(forth.encode(x), back.encode(-x))
    assert validate(forth, [x])["fve"] > 0.5
    assert not identical(forth, run(recipe, planted)[0])


def test_noise_knows_nothing_of_the_data():
    recipe = small(noise=True, steps=120)
    one, curves = run(recipe, Planted())
    two, other = run(recipe, Planted(latents=3))
    assert torch.equal(one.encoder, two.encoder)
    assert torch.equal(one.decoder, two.decoder)
    assert not torch.equal(one.mean, two.mean)
    assert shown(curves) == shown(other)
    assert not torch.equal(run(recipe, Planted(), seed=1)[0].decoder, one.decoder)
    assert curves[-1]["fve"] < 0.5 < run(replace(recipe, noise=False))[1][-1]["fve"]


def test_a_hybrid_crosscoder_spends_itself_on_the_difference():
    """λ = −1 explains more of chat − base than λ = 0 does, and λ = 0 is the plain one, bit for bit."""
    recipe, planted = small(loss="squared", steps=200, latents=8, k=1), Planted(share=0.4)
    found = {weight: run(replace(recipe, hybrid=weight), planted)[0] for weight in (0.0, -1.0)}
    assert identical(found[0.0], run(recipe, planted)[0])
    x = planted.batch(500, 3)
    misses = {w: (x - d.decode(d.encode(x))).diff(dim=1).square().sum() for w, d in found.items()}
    assert float(misses[-1.0]) < 0.9 * float(misses[0.0])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hybrid": -1.0}, "hybrid is of a crosscoder's squared errors"),
        ({"hybrid": 0.5, "kind": "diff-sae"}, "hybrid is of a crosscoder's squared errors"),
        ({"hybrid": -1.5, "loss": "squared"}, "hybrid must be from -1 to 1, got -1.5"),
        ({"score": "decoupled", "kind": "diff-sae"}, "score: decoupled is of BatchTopK crosscoders"),
        ({"score": "decoupled", "sparsity": "l1"}, "score: decoupled is of BatchTopK crosscoders"),
        ({"difference": "base - chat"}, "difference is of a diff-sae, not of a crosscoder"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0 and finite, got -1"),
        ({"warmup_steps": 61}, "warmup_steps = 61 exceeds steps = 60"),
        ({"threshold_start": -1}, "threshold_start must be at least 0"),
        ({"threshold_decay": 1.0}, "threshold_decay must be at least 0 and below 1, got 1.0"),
        ({"dead_after_tokens": -1}, "dead_after_tokens must be at least 0"),
        ({"aux_weight": -0.1}, "aux_weight must be at least 0"),
        ({"aux_weight": math.inf}, "aux_weight must be at least 0 and finite, got inf"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"lr": math.nan}, "lr must be above 0 and finite, got nan"),
        ({"l1": math.inf}, "l1 must be above 0 and finite"),
        ({"init_norm": math.inf}, "init_norm must be above 0 and finite"),
        ({"hybrid": math.nan, "loss": "squared"}, "hybrid must be from -1 to 1"),
        ({"betas": (0.9, 1.0)}, r"betas must be at least 0 and below 1, got \(0.9, 1.0\)"),
        ({"decay_start": 4}, "decay_start = 4 must be from warmup_steps = 5 to the last step, 59"),
        ({"decay_start": 60}, "decay_start = 60 must be from warmup_steps = 5 to the last step, 59"),
        ({"k_start": 0, "k_anneal_steps": 5}, "k_start must be at least 1, got 0"),
        ({"k_start": 5}, "k_start = 5 needs k_anneal_steps: say over how many steps k falls to"),
        ({"k_start": 5, "k_anneal_steps": -1}, "k_anneal_steps must be at least 0"),
        ({"k_start": 5, "k_anneal_steps": 61}, "k_anneal_steps = 61 exceeds steps = 60"),
        ({"sources": ()}, "sources is empty"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        small(**change)


def test_a_checkpoint_of_another_training_or_a_cut_one_is_not_taken_up(tmp_path):
    recipe = small()
    kept_in = tmp_path / "checkpoint.safetensors"
    run(recipe, kept_in=kept_in, fingerprint="a")
    begun = []
    run(recipe, kept_in=kept_in, fingerprint="b", on_step=begun.append)
    assert begun[0] == 0
    kept_in.write_bytes(kept_in.read_bytes()[:1000])
    begun = []
    again, _ = run(recipe, kept_in=kept_in, fingerprint="b", on_step=begun.append)
    assert begun[0] == 0
    assert identical(again, run(recipe)[0])


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_a_seed_repeats_bit_for_bit_and_another_differs(kind):
    recipe = small(kind, matmul="bfloat16")
    one, two, three = run(recipe, seed=0)[0], run(recipe, seed=0)[0], run(recipe, seed=1)[0]
    assert identical(one, two)
    assert not identical(one, three)


@pytest.mark.parametrize(("kind", "sparsity"), [c for c in CASES if c[0] in ("crosscoder", "diff-sae")])
def test_eager_and_sparse_trainings_agree(kind, sparsity):
    """40 steps in fp32, with dead latents on the way; rounding grows with the steps, hence the tolerance."""
    recipe = small(kind, sparsity, steps=40, lr=3e-3, dead_after_tokens=200, latents=40)
    (one, curve), (two, other) = (run(replace(recipe, path=path)) for path in ("eager", "sparse"))
    assert sparsity == "l1" or max(point["auxiliary"] for point in curve) > 0
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(tensor, two.tensors[name], rtol=1e-3, atol=1e-3 * float(tensor.abs().max() + 1e-6))
    for a, b in zip(curve, other, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)


@pytest.mark.parametrize(("kind", "sparsity"), CASES[:4])
def test_planted_latents_are_found(kind, sparsity):
    l1 = 0.1 if kind == "crosscoder" else 0.4  # the squared loss of SAEs is larger
    recipe = small(kind, sparsity, steps=600, k=2, latents=32, batch=256, l1=l1, init_norm=0.5, lr=5e-3)
    planted = Planted(recipe.models)
    dictionary, _ = run(recipe, planted)
    rows = torch.nn.functional.normalize(dictionary.decoder.transpose(0, 1).flatten(1), dim=1)
    truth = torch.nn.functional.normalize(planted.directions.transpose(0, 1).flatten(1), dim=1)
    best = (truth @ rows.T).max(1).values
    assert float(best.min()) > 0.9, best


@pytest.mark.parametrize(
    "over",
    [{"k": 1}, {"batch": 1, "k": 2, "steps": 20}, {"latents": 1, "k": 1}, {"latents": 37, "k": 37}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("kind", ["crosscoder", "chat-sae"])
def test_odd_sizes_train(kind, over):
    recipe = small(kind, **over)
    dictionary, curves = run(recipe)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in dictionary.tensors.values())
    assert curves[-1]["step"] == recipe.steps


def test_latents_that_never_fire_die_and_the_auxiliary_loss_answers():
    recipe = small(latents=200, k=1, dead_after_tokens=1280, steps=60)
    _, curves = run(recipe)
    assert (curves[0]["auxiliary"], curves[0]["dead"]) == (0, 0)
    assert max(point["dead"] for point in curves) > 0
    assert max(point["auxiliary"] for point in curves) > 0


def test_a_diverging_training_is_told():
    def poisoned(start):
        yield from islice(Planted(2).batches(64)(start), 5)
        while True:
            yield torch.full((64, 2, 20), torch.inf)

    with pytest.raises(UserError, match=r"loss is .*lower lr"):
        train(poisoned, small(), normalise.identity(2, 20), 0)
