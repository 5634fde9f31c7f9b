"""What short formats cost: FVE of equal trainings with bf16 or fp32 products, and with short moments of Adam's.

python -m benchmarks.precision --device cuda           what docs/performance.md tells: a crosscoder, two seeds
python -m benchmarks.precision --steps 200 --latents 512 --width 64 --batches 20

"plain" goes by `path: sparse`, the others by the fastest path; "repeated" is the first seed's training once more: the
largest difference of any weight, 0 if a training repeats bit for bit. --rounds is the number of seeds.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from torch import Tensor

from benchmarks import harness, planted
from benchmarks.harness import Row
from crossdiff.dictionaries import normalise
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.train import train
from crossdiff.process import prepare

VARIANTS: dict[str, dict[str, Any]] = {
    "bf16": {}, "fp32": {"matmul": "float32"}, "bf16, bfloat16 moments": {"moments": "bfloat16"},
    "bf16, float8 moments": {"moments": "float8"}, "plain bf16": {"path": "sparse"},
}  # fmt: skip
LAST = 20
"""Points of the curve, one a logged batch, over which FVE is averaged."""


def main(arguments: list[str] | None = None) -> list[Row]:
    """Train, print and write."""
    parser = harness.parser(__doc__, rounds=2)
    for name, value in {"latents": 4608, "width": 576, "k": 32, "batch": 2048, "steps": 2000, "batches": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    prepare(chosen.threads, chosen.device)
    pool = planted.batches(chosen.batches, chosen.batch, 2, chosen.width, chosen.seed, chosen.device)
    fitted = normalise.fit([x_BLD.cpu() for x_BLD in pool[:4]]).to(chosen.device)
    recipe = Recipe(
        kind="crosscoder", latents=chosen.latents, k=chosen.k, steps=chosen.steps, batch=chosen.batch, lr=1e-3,
        warmup_steps=chosen.steps // 20, threshold_start=chosen.steps // 10, dead_after_tokens=400_000,
        log_every=max(1, chosen.steps // 100),
    )  # fmt: skip

    def batches(start: int) -> Iterator[Tensor]:
        return (pool[step % len(pool)] for step in count(start))

    def trained(seed: int, **over: Any) -> tuple[Dictionary, float]:
        dictionary, curve = train(batches, replace(recipe, **over), fitted, seed)
        return dictionary, sum(point["fve"] or 0.0 for point in curve[-LAST:]) / len(curve[-LAST:])

    case = f"crosscoder D={chosen.width} F={chosen.latents} k={chosen.k} {chosen.steps} steps"
    rows, found = [], {}
    for name, over in VARIANTS.items():
        for seed in range(chosen.rounds):
            found[name, seed], fve = trained(seed, **over)
            rows.append(Row(case, name, f"FVE, seed {seed}", fve))
    again, _ = trained(0)
    apart = max(float((t - again.tensors[n]).abs().max()) for n, t in found["bf16", 0].tensors.items())
    rows.append(Row(case, "repeated", "largest difference", apart))
    harness.report("precision", chosen, rows)
    return rows


if __name__ == "__main__":
    main()
