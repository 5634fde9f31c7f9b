"""The constants of this machine that the cost model needs, measured in about a second."""

import time
from collections.abc import Callable

import torch

from crossdiff import products
from crossdiff.costs.sizes import Machine
from crossdiff.dictionaries import screen
from crossdiff.hardware import memory_bytes

SECONDS = 0.25
"""Spent on each constant."""


def calibrate(device: str = "cpu", threads: int | None = None, seconds: float = SECONDS) -> Machine:
    """Rates of bf16 and float32 products and of a copy, with so many threads (all by default) or on a GPU."""
    before = torch.get_num_threads()
    cuda = device.startswith("cuda")
    if threads:
        torch.set_num_threads(threads)
    try:
        with products.widened():
            bf16 = product_rate(device, torch.bfloat16, seconds)
        return Machine(
            bf16=bf16,
            fp32=product_rate(device, torch.float32, seconds),
            bandwidth=copy_rate(device, seconds),
            threads=torch.get_num_threads(),
            gpu=cuda,
            eight=not cuda and screen.here(),
        )
    finally:
        torch.set_num_threads(before)


def here(device: str) -> Machine | None:
    """This machine's constants; None if it lacks the device."""
    number = int(device.partition(":")[2] or 0)
    return None if device.startswith("cuda") and number >= torch.cuda.device_count() else calibrate(device)


def memory(device: str) -> float:
    """Bytes of memory that a process may have: of the GPU, or of the machine and of the group the process is in."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[1])
    return float(memory_bytes() or float("inf"))


def product_rate(device: str, kind: torch.dtype, seconds: float) -> float:
    """FLOP/s of tokens × weights in the proportions of an encoder product."""
    tokens, wide, latents = (2048, 2304, 16_384) if device.startswith("cuda") else (512, 1152, 2304)
    x_BI = torch.randn(tokens, wide, device=device, dtype=kind)
    w_FI = torch.randn(latents, wide, device=device, dtype=kind)
    return 2.0 * tokens * wide * latents / best(lambda: torch.nn.functional.linear(x_BI, w_FI), device, seconds)


def copy_rate(device: str, seconds: float) -> float:
    """Bytes read and written a second, far beyond the caches."""
    source = torch.ones(2**28 if device.startswith("cuda") else 2**24, device=device)
    target = torch.empty_like(source)
    return 2.0 * source.numel() * 4 / best(lambda: target.copy_(source), device, seconds)


def best(work: Callable[[], object], device: str, seconds: float) -> float:
    """Shortest time of ``work`` within ``seconds``, after one run that does not count: others may be at work here."""
    shortest, until = float("inf"), 0.0
    for run in range(10_000):
        started = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        if run == 0:
            until = now + seconds
            continue
        shortest = min(shortest, now - started)
        if now > until:
            break
    return shortest
