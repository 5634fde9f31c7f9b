"""A training step beside the published trainer's work, other packages and the encoder product.

python -m benchmarks.training                                  two cores or one: F = 4608 and 18432, L = 2 and 1
python -m benchmarks.training --latents 73728 --models 2 --rounds 3
python -m benchmarks.training --width 2304 --latents 73728 -k 100 --device cuda --moments bfloat16
python -m benchmarks.training --only crossdiff "encoder product"

Subjects take steps on the same ready batches with all that a training step does: forward, gradients, clipping, Adam,
thresholds. Packages train SAEs, so they are compared with the diff-SAE (L = 1). Peak memory is that of a process in
which the subject is alone, less what it held before the subject was made; bf16 means autocast, as packages offer it.
"""

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks import harness, peers, planted, subjects
from benchmarks.hardware import installed, memory_gb, peak_bytes, reset_peak
from benchmarks.harness import Row
from benchmarks.subjects import Case, Steps
from crossdiff.process import prepare

BATCHES = 4
"""Batches that the steps go through in turn."""
MEMORY_STEPS = 2
PRODUCT, BARE = "encoder product", "bare product"
OWN: dict[str, Callable[[Case, Tensor], Steps]] = {
    "crossdiff": subjects.ours,
    "crossdiff eager": partial(subjects.ours, path="eager"),
    "published": subjects.published,
    "published TF32": partial(subjects.published, precision="high"),
    PRODUCT: subjects.encoder_product,
    BARE: subjects.bare_product,
}
DENSE = ("crossdiff eager", "published", "published TF32")


def make(case: Case, name: str, first_BLD: Tensor) -> Steps:
    """A subject, ready to step."""
    return OWN[name](case, first_BLD) if name in OWN else peers.PEERS[name][1](case).steps


def taking_part(case: Case, only: list[str]) -> tuple[list[str], list[Row]]:
    """Subjects of a case, and a row for each that cannot be there."""
    names = [name for name in OWN if name != "published TF32" or case.device.startswith("cuda")]
    names += [name for name in peers.PEERS if case.models == 1]
    if only:
        names = [name for name in names if name in only]
    missing = [name for name in names if name in peers.PEERS and not installed(peers.PEERS[name][0])]
    short = [name for name in names if name not in missing and needed_gb(case, name) > room_gb(case.device)]
    rows = [harness.absent(case.name, name, "speed", "not installed") for name in missing]
    rows += [harness.absent(case.name, name, "speed", f"needs {needed_gb(case, name):.0f} GB") for name in short]
    return [name for name in names if name not in missing and name not in short], rows


def needed_gb(case: Case, name: str) -> float:
    """About what a subject holds at once: weights, gradients, two moments, and its [B, F] tensors."""
    weights = 2 * case.models * case.width * case.latents
    scores = case.batch * case.latents
    if name in (PRODUCT, BARE):
        return (weights / 2 * 6 + scores * 2) / 1e9
    per_score = {"crossdiff": 6, "crossdiff eager": 60}.get(name, 16 + 8 * case.models + 16)
    return (weights * 16 + scores * per_score) / 1e9


def room_gb(device: str) -> float:
    """Memory a case may take: nine tenths of the GPU's, or eight of the machine's."""
    if device.startswith("cuda"):
        return 0.9 * torch.cuda.get_device_properties(device).total_memory / 1e9
    return 0.8 * (memory_gb() or float("inf"))


def groups(case: Case, names: list[str]) -> list[list[str]]:
    """Subjects that fit into memory together; the yardsticks and ours are in every group."""
    always = [name for name in ("crossdiff", PRODUCT, BARE) if name in names]
    room = room_gb(case.device) - sum(needed_gb(case, name) for name in always)
    out: list[list[str]] = [[]]
    held = 0.0
    for name in names:
        if name in always:
            continue
        need = needed_gb(case, name)
        if out[-1] and held + need > room:
            out.append([])
            held = 0.0
        out[-1].append(name)
        held += need
    return [always + group for group in out]


def measure(case: Case, options: argparse.Namespace) -> list[Row]:
    """All rows of one case."""
    names, rows = taking_part(case, options.only)
    batches = planted.batches(BATCHES, case.batch, case.models, case.width, case.seed, case.device)
    rounds = [batches[number % BATCHES] for number in range(options.steps)]
    for group in groups(case, names):
        made = {name: make(case, name, batches[0]) for name in group}
        work = {name: partial(steps, rounds) for name, steps in made.items()}
        taken = harness.alternate(work, options.rounds, harness.Clock(case.device), options.warmup)
        fresh = {name for name in group if not any(row.subject == name and row.metric == "speed" for row in rows)}
        rows += [row for row in speed(case, options.steps, taken) if row.subject in fresh]
        del made, work
        released(case.device)
    if options.memory:
        rows += [memory(case, name, options.threads) for name in names if name not in (PRODUCT, BARE)]
    return rows


def released(device: str) -> None:
    """Give memory that nothing holds any more back to the device, for the processes that measure it."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def speed(case: Case, steps: int, taken: harness.Seconds) -> list[Row]:
    """Tokens a second (ratio above 1: faster), and a step's time (ratio: how many products it is worth)."""
    others = ",".join(name for name in taken if name not in ("crossdiff", PRODUCT, BARE))
    tokens = {name: seconds for name, seconds in taken.items() if name not in (PRODUCT, BARE)}
    rows = harness.rate_rows(case.name, "speed", "tokens/s", case.batch * steps, tokens, {"crossdiff": others})
    rows += harness.time_rows(case.name, "step", steps, taken, dict.fromkeys(taken, PRODUCT) | {PRODUCT: BARE})
    products = {name: taken[name] for name in (PRODUCT, BARE) if name in taken}
    return rows + harness.rate_rows(case.name, "arithmetic", "GFLOP/s", case.flops * steps / 1e9, products, {})


def memory(case: Case, name: str, threads: int) -> Row:
    """Peak memory of a subject alone in a process of its own."""
    shape = (case.models, case.width, case.latents, case.k, case.batch, case.seed)
    command = [
        sys.executable,
        "-m",
        "benchmarks.training",
        "--alone",
        name,
        *map(str, shape),
        "--threads",
        str(threads),
    ]
    command += ["--device", case.device, *(["--moments", case.moments] if case.moments else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        return harness.absent(case.name, name, "peak memory", f"failed: {done.stderr.strip().splitlines()[-1:]}")
    return Row(case.name, name, "peak memory", int(done.stdout.split()[-1]) / 1e9, "GB")


def alone(options: argparse.Namespace) -> None:
    """In a process of its own: make the subject, step, print the bytes it took."""
    name, *numbers = options.alone
    models, width, latents, k, batch, seed = map(int, numbers)
    case = Case(models, width, latents, k, batch, options.device, seed, moments=options.moments)
    tiny = planted.batches(1, 4, models, 8, device=options.device)
    make(Case(models, 8, 16, 2, 4, options.device), name, tiny[0])(tiny)  # what a first step imports is not counted
    batches = planted.batches(1, case.batch, case.models, case.width, case.seed, case.device)
    before = reset_peak(case.device)
    make(case, name, batches[0])(batches * MEMORY_STEPS)
    print(peak_bytes(case.device) - before)


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = harness.parser(__doc__, rounds=5)
    made.add_argument("--latents", type=int, nargs="+", default=[4608, 18432], help="F (default: %(default)s)")
    made.add_argument("--models", type=int, nargs="+", default=[2, 1], choices=[1, 2], help="L (default: %(default)s)")
    made.add_argument("--width", type=int, default=576, help="D (default: %(default)s)")
    made.add_argument("-k", type=int, default=32, help="active latents a token (default: %(default)s)")
    made.add_argument("--batch", type=int, default=2048, help="tokens a step (default: %(default)s)")
    made.add_argument("--steps", type=int, default=2, help="steps a round (default: %(default)s)")
    made.add_argument("--warmup", type=int, default=1, help="rounds that do not count (default: %(default)s)")
    made.add_argument("--moments", help="how our Adam keeps its moments, if the recipe knows such a setting")
    made.add_argument("--only", nargs="+", default=[], metavar="SUBJECT", help=f"of {', '.join([*OWN, *peers.PEERS])}")
    made.add_argument("--no-memory", dest="memory", action="store_false", help="leave peak memory out")
    made.add_argument("--alone", nargs=7, help=argparse.SUPPRESS)
    return made


def main(arguments: list[str] | None = None) -> list[Row]:
    """Run all cases, print and write them."""
    chosen = options().parse_args(arguments)
    prepare(chosen.threads, chosen.device)
    if chosen.alone:
        alone(chosen)
        return []
    rows = []
    for models in chosen.models:
        for latents in chosen.latents:
            case = Case(
                models, chosen.width, latents, chosen.k, chosen.batch, chosen.device, chosen.seed,
                moments=chosen.moments,
            )  # fmt: skip
            rows += measure(case, chosen)
    harness.report("training", chosen, rows)
    return rows


if __name__ == "__main__":
    main()
