"""Screening by 8-bit sums: what it keeps, beside the largest of all products, and the trainings that go through it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_data import Planted, small

from crossdiff.dictionaries import compiled, normalise, screen, select, sparse
from crossdiff.dictionaries.optimise import ready
from crossdiff.dictionaries.parameters import Parameters
from crossdiff.dictionaries.train import Trainer, train

pytest.importorskip("numba")
passes = pytest.importorskip("crossdiff.dictionaries.compiled.passes")

SAMPLE = 2048
HERE = screen.here()


@pytest.fixture(autouse=True)
def screened_here(monkeypatch):
    """Also on a CPU whose sums of 8-bit numbers saturate; and batches of a test are large enough to be sampled."""
    if not HERE:
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
        monkeypatch.setattr(torch, "_int_mm", lambda x, w: (x.double() @ w.double()).int())
    monkeypatch.setattr(screen, "SAMPLE", SAMPLE)


def problem(tokens, latents, width, outlier, seed):
    """Parameters with their copies, an input [B, I], weights [F]; one channel of the input is ``outlier`` × larger."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, width, generator=g)
    x[:, 0] *= outlier
    parameters = Parameters(
        torch.randn(latents, width, generator=g) / width**0.5, 0.1 * torch.randn(latents, generator=g),
        torch.randn(latents, width, generator=g), torch.randn(width, generator=g),
    )  # fmt: skip
    weight = torch.rand(latents, generator=g) + 0.5
    weight[::7] = 0
    parameters.encoder_FI[3] = 0
    return ready(parameters, small("chat-sae", latents=latents, k=1, matmul="bfloat16")), x, weight


def every_score(parameters, x, weight):
    """relu(x·W + b) · w of bf16 factors, [B, F] fp64."""
    product = x.bfloat16().double() @ parameters.encoder_FI.bfloat16().double().T
    return (product + parameters.encoder_bias_F).relu() * weight


@given(
    tokens=st.integers(20, 60),
    latents=st.integers(210, 700),
    width=st.integers(10, 90),
    k=st.integers(1, 5),
    outlier=st.sampled_from([1.0, 5.0, 1000.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_largest_are_kept(tokens, latents, width, k, outlier, seed):
    """One of a thousand may be missed, but for one that is hardly larger than what is kept in its place."""
    parameters, x, weight = problem(tokens, latents, width, outlier, seed)
    kept = screen.batch_topk(parameters, x, x.bfloat16(), weight, tokens * k)
    assert (kept is None) == (outlier == 1000)  # then one channel rules all tokens, and 8 bits tell nothing
    if kept is None:
        return
    scores = every_score(parameters, x, weight).flatten()
    largest = scores.topk(tokens * k)
    assert len(kept.flat_N) == tokens * k
    assert torch.equal(kept.flat_N, kept.flat_N.sort().values)
    torch.testing.assert_close(kept.score_N.double(), scores[kept.flat_N], rtol=1e-4, atol=1e-4)
    of_F = weight[kept.flat_N % latents]
    torch.testing.assert_close(kept.value_N * of_F, kept.score_N)
    missed = len(set(largest.indices.tolist()) - set(kept.flat_N.tolist()))
    assert missed <= max(1, tokens * k // 1000)
    assert kept.score_N.double().sum() >= (1 - 1e-4) * largest.values.sum()


@pytest.mark.parametrize("ruled", ["tokens", "latents", "many tokens", "many latents"])
@pytest.mark.parametrize("size", [30, 200, 1000])
def test_rows_that_one_number_rules_lose_nothing(ruled, size):
    """A channel that no latent reads, huge in some tokens; and latents that read most of a channel that is never on."""
    parameters, x, weight = problem(256, 700, 64, 1.0, 0)
    parameters.encoder_FI[:, 5] = 0
    x[:, 6] = 0
    some = slice(0, 40 if "many" in ruled else 3)
    if "tokens" in ruled:
        x[some, 5] = size
    else:
        parameters.encoder_FI[some, 6] = size / 8
        weight[some] = 1
    parameters = ready(parameters, small("chat-sae", latents=700, k=1, matmul="bfloat16"))
    kept = screen.batch_topk(parameters, x, x.bfloat16(), weight, 256 * 4)
    assert (kept is None) == ("many" in ruled and size > 30)
    if kept is not None:
        wanted = every_score(parameters, x, weight).flatten().topk(256 * 4).indices
        assert len(set(wanted.tolist()) - set(kept.flat_N.tolist())) <= 1


@pytest.mark.parametrize(("first", "enough"), [(4, True), (2, False)])
def test_a_level_too_high_is_lowered_until_enough_exceed_it(first, enough, monkeypatch):
    """It is that of twice the rank each time; after three all is to be multiplied out."""
    parameters, x, weight = problem(40, 400, 64, 1.0, 0)
    wanted = screen.batch_topk(parameters, x, x.bfloat16(), weight, 80)
    asked = []
    largest_but = select.largest_but

    def watched(values, others):
        if len(values) == SAMPLE:
            asked.append(others + 1)
        return largest_but(values, others)

    monkeypatch.setattr(select, "largest_but", watched)
    monkeypatch.setattr(select, "sample_rank", lambda entries, count, sample: first)
    kept = screen.batch_topk(parameters, x, x.bfloat16(), weight, 80)
    assert asked == [first, 2 * first, 4 * first]
    if enough:
        assert torch.equal(kept.flat_N, wanted.flat_N)
    else:
        assert kept is None


def test_where_few_are_positive_all_is_multiplied_out():
    parameters, x, weight = problem(40, 400, 64, 1.0, 0)
    parameters.encoder_bias_F.fill_(-100)
    assert screen.batch_topk(parameters, x, x.bfloat16(), weight, 80) is None


def test_more_entries_than_there_was_room_for(monkeypatch):
    parameters, x, weight = problem(300, 400, 64, 1.0, 0)
    wanted = screen.batch_topk(parameters, x, x.bfloat16(), weight, 300 * 8)
    monkeypatch.setattr(passes, "ROOM", 0)  # there is room for a thousand a thread
    kept = screen.batch_topk(parameters, x, x.bfloat16(), weight, 300 * 8)
    assert len(kept.flat_N) > 1024 * torch.get_num_threads()
    assert all(torch.equal(one, two) for one, two in zip(kept, wanted, strict=True))


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_broken_token_ends_the_training(broken):
    """The batch is screened nevertheless, and its loss tells."""
    recipe = small("chat-sae", latents=400, k=2, matmul="bfloat16", aux_weight=0.0)
    parameters, x, weight = problem(256, 400, 48, 1.0, 0)
    x[3, 2] = broken
    assert screen.batch_topk(parameters, x, x.bfloat16(), weight, 256 * 2) is not None
    done = sparse.step(ready(parameters, recipe), x, recipe, 2, torch.zeros(400, dtype=torch.int64))
    assert not torch.isfinite(torch.as_tensor(done.loss))


def test_does_not_depend_on_the_number_of_threads():
    parameters, x, weight = problem(41, 400, 64, 1.0, 0)
    found = []
    for count in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        found.append(screen.batch_topk(parameters, x, x.bfloat16(), weight, 80))
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


@pytest.mark.skipif(not HERE, reason="this CPU does not screen")
@pytest.mark.parametrize("shape", [(1, 7, 3), (20, 33, 65), (64, 130, 576)])
def test_sums_are_exact(shape):
    """At the ends of their range, too: instructions that saturate would show."""
    tokens, latents, width = shape
    g = torch.Generator().manual_seed(0)
    x = torch.randint(-127, 128, (tokens, width), generator=g, dtype=torch.int8)
    w = torch.randint(-127, 128, (latents, width), generator=g, dtype=torch.int8)
    x[0], w[0] = 127, -127
    assert torch.equal(torch._int_mm(x, w.T).long(), x.long() @ w.long().T)


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_a_step_equals_that_in_fp32(kind):
    """Of numbers that bf16 holds; gradients multiply δ in bf16. Dead latents are revived alike."""
    recipe = small(kind, latents=400, k=2, matmul="bfloat16", dead_after_tokens=64)
    width = 48 * recipe.models
    parameters, x, _ = problem(64, 400, width, 1.0, 0)
    for tensor in (*parameters.tensors, x):
        tensor.copy_(tensor.bfloat16())
    parameters.decoder_bias_I.zero_()
    silent = torch.randint(0, 100, (400,), generator=torch.Generator().manual_seed(0))
    screened = sparse.step(ready(parameters, recipe), x, recipe, 2, silent)
    plain = replace(parameters, short_FI=None, coarse=None)
    wanted = sparse.step(plain, x, replace(recipe, matmul="float32", path="sparse"), 2, silent)
    assert (screened.active, screened.silent_F.tolist()) == (wanted.active, wanted.silent_F.tolist())
    assert screened.loss == pytest.approx(float(wanted.loss), rel=1e-5)
    assert float(wanted.auxiliary) > 0
    assert float(screened.auxiliary) == pytest.approx(float(wanted.auxiliary), rel=1e-2)
    assert screened.least_score == pytest.approx(wanted.least_score, rel=1e-5)
    torch.testing.assert_close(screened.error_BI, wanted.error_BI, rtol=1e-5, atol=1e-5)
    for one, other in zip(screened.gradients.tensors, wanted.gradients.tensors, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.01 * float(other.abs().max()))


WIDE = {"latents": 128, "k": 2, "matmul": "bfloat16", "steps": 60, "checkpoint_every": 20}


@pytest.fixture
def served(monkeypatch):
    """Whether screening served, step by step."""
    told = []
    batch_topk = screen.batch_topk

    def watched(*given):
        kept = batch_topk(*given)
        told.append(kept is not None)
        return kept

    monkeypatch.setattr(screen, "batch_topk", watched)
    return told


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae", "chat-sae"])
def test_a_training_learns_as_well(kind, served):
    planted = Planted(width=40, latents=40, share=0.05)
    fitted = normalise.fit([planted.batch(512, 0)])
    if kind != "crosscoder":
        planted.directions = planted.directions[:1]
        fitted = normalise.fit([planted.batch(512, 0)])
    recipe = small(kind, **WIDE | {"steps": 300})
    _, mine = train(planted.batches(128), recipe, fitted, 0)
    assert sum(served) > 250
    _, other = train(planted.batches(128), replace(recipe, matmul="float32"), fitted, 0)
    assert sum(served) < 301
    assert mine[-1]["fve"] > 0.8
    assert mine[-1]["fve"] == pytest.approx(other[-1]["fve"], abs=0.01)


def test_a_training_taken_up_goes_on_bit_for_bit(tmp_path, served):
    planted, recipe = Planted(), small(**WIDE)
    fitted = normalise.fit([planted.batch(256, 0)])
    whole, _ = train(planted.batches(64), recipe, fitted, 0)
    assert sum(served) > 40
    state = tmp_path / "state"
    trainer = Trainer(recipe, fitted, 0, state)
    stream = planted.batches(64)(0)
    for _ in range(33):
        trainer.learn(next(stream))
    trainer.keep()
    again, _ = train(planted.batches(64), recipe, fitted, 0, kept_in=state)
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in whole.tensors.items())


@pytest.mark.parametrize("moments", ["float32", "bfloat16"])
def test_the_copy_follows_the_encoder(moments):
    planted, recipe = Planted(), small(**WIDE, moments=moments)
    trainer = Trainer(recipe, normalise.fit([planted.batch(256, 0)]), 0)
    for step in range(3):
        trainer.learn(planted.batch(64, step))
        parameters = trainer.state.parameters
        fresh = passes.coarse(parameters.encoder_FI)
        assert all(torch.equal(one, two) for one, two in zip(parameters.coarse, fresh, strict=True))


@pytest.mark.parametrize(
    "over",
    [{"matmul": "float32"}, {"path": "eager"}, {"path": "sparse"}, {"latents": 63}, {"k_start": 5, "k_anneal_steps": 9},
     {"sparsity": "l1"}, {"score": "decoupled"}],
)  # fmt: skip
def test_who_is_not_screened(over):
    assert screen.prepared(torch.ones(128, 4), small(**WIDE)) is not None
    assert screen.prepared(torch.ones(128, 4), small(**WIDE | over)) is None


def test_not_screened_without_kernels_or_instructions(monkeypatch):
    recipe = small(**WIDE)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert screen.prepared(torch.ones(128, 4), recipe) is None
    monkeypatch.undo()
    monkeypatch.setattr(compiled, "there", lambda: False)
    assert screen.prepared(torch.ones(128, 4), recipe) is None
