"""Adam with short moments: its plain statement, its rounding, its random words, and trainings with it on a CPU."""

import math
from functools import cache

import pytest
import torch
from planted_data import Planted, small
from test_train import identical, run, shown

from crossdiff.dictionaries import adam
from crossdiff.dictionaries.optimise import known, next_threshold

SHORT = ["bfloat16", "float8"]


def stored(value, form, signed, chance):
    """``value`` as read back after it was kept."""
    kept = torch.zeros(len(value), dtype=adam.DTYPES[form])
    top = adam.no_exponents(value)[0] if form == "float8" else None
    adam.keep(value, kept, top, chance, signed=signed)
    return (adam.read_mean if signed else adam.read_square)(kept, top)


def test_float32_is_adam():
    parameter = torch.randn(600)
    twin = parameter.clone().requires_grad_()
    other = torch.optim.Adam([twin], lr=1e-2, betas=(0.8, 0.95))
    mean, square = torch.zeros(600), torch.zeros(600)
    for step in range(6):
        gradient = torch.randn(600)
        twin.grad = gradient * 0.5
        other.step()
        adam.update(parameter, gradient, mean, square, None, adam.rule(1e-2, (0.8, 0.95), step, torch.tensor(0.5)), 0)
    torch.testing.assert_close(parameter, twin.detach(), rtol=1e-5, atol=1e-6)


def test_philox_gives_the_published_words(monkeypatch):
    """Known answer of Philox4x32-10 for counter and key 0 (Random123 by its authors)."""
    monkeypatch.setattr(adam, "KEY", 0)
    found = [int(word) for word in adam.philox(torch.zeros(1, dtype=torch.int64), 0, 0)]
    assert found == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_words_do_not_depend_on_where_one_starts():
    whole = adam.words(0, 5000, 1, 7, torch.device("cpu"))
    assert torch.equal(adam.words(2048, 2952, 1, 7, torch.device("cpu")), whole[2048:])
    assert len(whole.unique()) > 4990
    assert not torch.equal(whole, adam.words(0, 5000, 2, 7, torch.device("cpu")))


@pytest.mark.parametrize(("form", "signed"), [("bfloat16", True), ("float8", True), ("float8", False)])
def test_rounding_is_to_a_neighbour_and_right_on_average(form, signed):
    value = torch.randn(512, generator=torch.Generator().manual_seed(0)).exp() * 1e-6
    if signed:
        value *= torch.where(torch.arange(512) % 2 == 0, 1, -1)
    step = {"bfloat16": 2**-7, "float8": 2**-3}[form]
    chances = torch.arange(0, 2**16, 128)
    results = torch.stack([stored(value, form, signed, chance.expand(512)) for chance in chances])
    assert bool(((results - value).abs() <= step * value.abs()).all())
    torch.testing.assert_close(results.mean(0), value, rtol=step / 100, atol=0)


def test_float8_at_its_limits():
    nothing = torch.zeros(700)
    half = torch.tensor(2**15).expand(700)
    assert not bool(stored(nothing, "float8", True, half).any())
    assert not bool(stored(nothing, "float8", False, half).any())
    square = torch.full((256,), 1e-30)
    square[7] = 1.0
    read = stored(square, "float8", False, half[:256])
    assert float(read[7]) == 1.0
    assert float(read[0]) == pytest.approx(2**-30, rel=0.2)  # a square above 0 stays above 0
    assert float(stored(square, "float8", True, half[:256])[0]) == 0
    assert bool(torch.isfinite(stored(torch.full((256,), 3e38), "float8", False, half[:256])).all())


def test_pieces_give_the_same(monkeypatch):
    results = []
    for piece in (2**18, 1024):
        monkeypatch.setattr(adam, "PIECE", piece)
        state = [torch.ones(3001), torch.linspace(-1, 1, 3001), *(torch.zeros(3001, dtype=torch.uint8) for _ in "ms")]
        state.append(adam.no_exponents(state[0]))
        adam.update(*state, adam.rule(1e-2, (0.9, 0.999), 3, None), 1)
        results.append(state)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@pytest.mark.parametrize("moments", SHORT)
@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_short_moments_train_about_as_well(kind, moments):
    assert fve(kind, moments) == pytest.approx(fve(kind, "float32"), abs=0.03)


@cache
def fve(kind, moments):
    """FVE after a training."""
    recipe = small(kind, moments=moments, steps=150, k=2, init_norm=0.5, lr=5e-3)
    return run(recipe, Planted(2 if kind == "crosscoder" else 1))[1][-1]["fve"]


@pytest.mark.parametrize("moments", SHORT)
def test_short_moments_resume_bit_for_bit(moments, tmp_path):
    recipe = small(moments=moments)
    whole, curves = run(recipe)

    class StoppedError(Exception):
        pass

    done = []

    def stop(steps):
        done.append(steps)
        if sum(done) == 47:
            raise StoppedError

    kept = {"kept_in": tmp_path / "checkpoint.safetensors", "fingerprint": "a"}
    with pytest.raises(StoppedError):
        run(recipe, on_step=stop, **kept)
    resumed, again = run(recipe, **kept)
    assert identical(whole, resumed)
    assert shown(curves) == shown(again)


def test_threshold_on_a_device_is_the_one_on_the_host():
    recipe = small(threshold_start=2, threshold_decay=0.75)
    host, device = None, None
    for step, least in enumerate([3.0, None, None, 5.1, 0.3, None, 2.2]):
        score = torch.tensor(math.inf if least is None else least)
        host = next_threshold(host, None if least is None else float(score), recipe, step)
        device = next_threshold(device, score, recipe, step)
        assert known(device) == host
        device = device if step % 2 else known(device)  # as after a checkpoint
