"""bf16 matrix products as crossdiff takes them on this CPU, beside torch's own and those in fp32.

python -m benchmarks.products
python -m benchmarks.products --threads 2

crossdiff   within `crossdiff.products.widened`: in fp32, rounded, where the CPU has no bf16 instructions; else torch's
torch bf16  `torch.nn.functional.linear` as it is
torch fp32  the same of fp32 matrices
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch.nn.functional import linear

from benchmarks import harness
from benchmarks.harness import Row
from crossdiff import products

SHAPES = {
    "encoder of a dictionary": (2048, 1152, 3072),
    "MLP of a block, long rows": (2048, 576, 1536),
    "MLP of a block, one token a row": (16, 576, 1536),
}
"""Tokens, entries in and entries out of a product: those of the packaged pair's study."""


def measure(chosen: argparse.Namespace) -> list[Row]:
    """All rows."""
    rows = []
    for case, (tokens, wide, out) in SHAPES.items():
        shape = f"{case}: {tokens} × {wide} × {out}"
        taken = harness.alternate(subjects(tokens, wide, out, chosen.seed), chosen.rounds, harness.Clock())
        against = {"crossdiff": "torch bf16,torch fp32"}
        rows += harness.rate_rows(shape, "speed", "GFLOP/s", 2e-9 * tokens * wide * out, taken, against)
    return rows


def subjects(tokens: int, wide: int, out: int, seed: int) -> dict[str, Callable[[], object]]:
    """One product of each."""
    generator = torch.Generator().manual_seed(seed)
    x_BI, w_FI = (torch.randn(rows, wide, generator=generator) for rows in (tokens, out))
    narrow = x_BI.bfloat16(), w_FI.bfloat16()

    def ours() -> None:
        with products.widened():
            linear(*narrow)

    return {"crossdiff": ours, "torch bf16": partial(linear, *narrow), "torch fp32": partial(linear, x_BI, w_FI)}


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measure, print and write."""
    chosen = harness.parser(__doc__, rounds=15).parse_args(arguments)
    if chosen.device != "cpu":
        raise SystemExit("error: these products are of CPUs; take --device out")
    torch.set_num_threads(chosen.threads)
    rows = measure(chosen)
    harness.report("products", chosen, rows)
    return rows


if __name__ == "__main__":
    main()
