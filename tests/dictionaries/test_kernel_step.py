"""The whole step on a GPU against `eager.step`, and trainings by it."""

from dataclasses import replace
from itertools import product

import kernel_device
import pytest
import torch
from kernel_device import DEVICE, INTERPRETED
from planted_data import Planted, small
from test_step import same, start
from torch.utils._python_dispatch import TorchDispatchMode

from crossdiff.dictionaries import compiled, eager, gpu, kernels, normalise
from crossdiff.dictionaries.kernels import decode, gradients, select
from crossdiff.dictionaries.optimise import move, no_moments
from crossdiff.dictionaries.parameters import Parameters
from crossdiff.dictionaries.train import train

pytestmark = kernel_device.MARKS


@pytest.fixture(autouse=True)
def by_kernels(monkeypatch):
    """The interpreter works on CPU tensors, which kernels would leave alone, and in each program on whole blocks.

    Small blocks spare it lanes without work, and cut rows that one whole block would hold.
    """
    if INTERPRETED:
        monkeypatch.setattr(kernels, "serve", lambda tensor: True)
        monkeypatch.setattr(compiled, "serve", lambda tensor: False)
        for tile in ("TILE", "PART"):
            monkeypatch.setattr(select, tile, 64)
        for module in (decode, gradients):
            monkeypatch.setattr(module, "COLUMNS", 16)


def there(parameters, *tensors):
    return Parameters(*(tensor.to(DEVICE) for tensor in parameters.tensors)), *(tensor.to(DEVICE) for tensor in tensors)


def home(done):
    """A step as the CPU tells it."""
    least = float(done.least_score)
    return replace(
        done, active=int(done.active), least_score=None if least == float("inf") else least,
        error_BI=done.error_BI.cpu(), norm=None, silent_F=done.silent_F.cpu(),
        gradients=Parameters(*(tensor.cpu() for tensor in done.gradients.tensors)),
    )  # fmt: skip


RECIPES = [("crosscoder", "norm", "sum", 0), ("crosscoder", "squared", "concat", -1), ("diff-sae", None, None, 0)]
SIZES = [(1, 1, 1, 1), (7, 5, 13, 3), (2, 3, 97, 1)]
DEAD_AFTER = [1, 64, 10**7]
# The interpreter takes a second a step, so there any two of the three values meet once, not all three.
COMBINED = [
    (RECIPES[i], SIZES[j], DEAD_AFTER[k])
    for i, j, k in product(range(3), repeat=3)
    if not INTERPRETED or (i + j + k) % 3 == 0
]


@pytest.mark.parametrize(("form", "size", "dead_after"), COMBINED, ids=str)
def test_equals_eager(form, size, dead_after):
    """fp32; tolerances are those of `test_step.same`: 2e-5 of the largest entry of each gradient."""
    kind, loss, score, hybrid = form
    tokens, width, latents, k = size
    recipe = small(kind, loss=loss, score=score, hybrid=hybrid, latents=latents, k=k, dead_after_tokens=dead_after)
    parameters, x, silent = start(recipe, tokens, width, latents)
    moved, x_, silent_ = there(parameters, x, silent)
    wanted = eager.step(parameters, x, recipe, k, silent)
    same(home(gpu.step(moved, x_, recipe, k, silent_)), wanted)
    every = torch.arange(latents, device=DEVICE)  # more latents watched than are dead
    same(home(gpu.step(moved, x_, recipe, k, silent_, every)), wanted)


def test_nothing_positive():
    recipe = small(dead_after_tokens=10)
    parameters, x, silent = start(recipe, 6, 5)
    parameters.encoder_bias_F.fill_(-1e3)
    same(
        home(gpu.step(*there(parameters, x), recipe, 3, silent.to(DEVICE))),
        eager.step(parameters, x, recipe, 3, silent),
    )


class Deaf(TorchDispatchMode):
    """Refuses what makes a host wait for a device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique_dim"), (
            name
        )
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_the_host_never_waits(kind):
    recipe = small(kind, moments="bfloat16", dead_after_tokens=64)
    moved, x, silent = there(*start(recipe, 8, 5))
    moments = no_moments(moved, recipe.moments)
    watched = torch.arange(12, device=DEVICE)
    gpu.step(moved, x, recipe, 3, silent, watched)  # compiles
    if not INTERPRETED:
        torch.cuda.set_sync_debug_mode("error")
    try:
        with Deaf():
            done = gpu.step(moved, x, recipe, 3, silent, watched)
            move(moved, done.gradients, moments, recipe, 1, done.norm)
    finally:
        if not INTERPRETED:
            torch.cuda.set_sync_debug_mode("default")


def run(recipe, **options):
    planted = Planted(recipe.models, width=6, latents=8)
    fitted = normalise.fit([planted.batch(2000, 1)]).to(DEVICE)
    dictionary, curves = train(planted.batches(recipe.batch), recipe, fitted, 0, **options)
    shown = [{key: value for key, value in point.items() if key != "tokens_per_second"} for point in curves]
    return dictionary.to("cpu"), shown


STEPS = 6 if INTERPRETED else 10
SHORT = {
    "latents": 12, "k": 2, "batch": 8, "steps": STEPS, "lr": 3e-3, "dead_after_tokens": 16, "log_every": 2,
    "checkpoint_every": 4, "warmup_steps": 2, "threshold_start": 3,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_a_training_equals_eagers(kind):
    """Some steps in fp32 with dead latents on the way; rounding grows with the steps, hence 1e-3."""
    recipe = small(kind, **SHORT)
    one, curve = run(recipe)
    two, other = run(replace(recipe, path="eager"))
    assert max(point["auxiliary"] for point in curve) > 0
    assert float(one.threshold) > 0
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(tensor, two.tensors[name], rtol=1e-3, atol=1e-3 * float(tensor.abs().max() + 1e-6))
    for a, b in zip(curve, other, strict=True):
        assert a == {key: value if value is None else pytest.approx(value, rel=1e-3) for key, value in b.items()}


def test_a_training_repeats_and_resumes_bit_for_bit(tmp_path):
    recipe = small(moments="float8", matmul="bfloat16", **SHORT)
    whole, curves = run(recipe)

    class StoppedError(Exception):
        pass

    done = []

    def stop(steps):
        done.append(steps)
        if sum(done) == 5:
            raise StoppedError

    kept = {"kept_in": tmp_path / "checkpoint.safetensors", "fingerprint": "a"}
    with pytest.raises(StoppedError):
        run(recipe, on_step=stop, **kept)
    begun = []
    resumed, again = run(recipe, on_step=begun.append, **kept)
    assert begun[0] == 4
    assert all(torch.equal(tensor, resumed.tensors[name]) for name, tensor in whole.tensors.items())
    assert curves == again


@pytest.mark.parametrize(
    ("kind", "dead_after", "knows"), [("crosscoder", 10**7, True), ("crosscoder", 1, False), ("diff-sae", 10**7, False)]
)
def test_tells_the_norm_of_its_gradients_where_nothing_else_is_added(kind, dead_after, knows):
    recipe = small(kind, dead_after_tokens=dead_after)
    moved, x, silent = there(*start(recipe, 8, 5))
    done = gpu.step(moved, x, recipe, 3, silent)
    assert (done.norm is not None) == knows
    if knows:
        wanted = torch.nn.utils.get_total_norm(done.gradients.tensors)
        torch.testing.assert_close(done.norm, wanted, rtol=1e-5, atol=0)
