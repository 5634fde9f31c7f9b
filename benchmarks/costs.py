"""The cost model's predictions beside a finished study, stage by stage.

python -m benchmarks.costs                             the study of config.yaml, logs/<pair>/benchmarks
python -m benchmarks.costs --overlay configs/narrow.yaml

The machine's constants are measured now, so run it on the machine that ran the study, when nothing else runs there.
Ratios are predicted over measured. Seconds are summed over a stage's jobs; memory is that of the largest job, with the
activations it maps (Snakemake counts them).
"""

import argparse
from pathlib import Path

from benchmarks import harness, study
from benchmarks.harness import Row
from benchmarks.study import Job
from crossdiff.config import read_overlay
from crossdiff.costs.estimate import work
from crossdiff.costs.machine import calibrate
from crossdiff.costs.sizes import Machine, Stage
from crossdiff.costs.stages import stages

JOINED = {"fetch", "download", "convert", "pair", "corpus"}
"""Stages that the model counts as one."""


def rows(case: str, predicted: list[Stage], jobs: list[Job], machine: Machine) -> list[Row]:
    """Constants, then predicted and measured seconds and memory of each stage and of all."""
    out = [
        Row(case, "machine", name, getattr(machine, name) / 1e9, unit)
        for name, unit in (("bf16", "GFLOP/s"), ("fp32", "GFLOP/s"), ("bandwidth", "GB/s"))
    ]
    found = study.by_stage([job for job in jobs if job.stage not in JOINED])
    found["models, corpus"] = [job for job in jobs if job.stage in JOINED]
    total = [0.0, 0.0]
    for stage in predicted:
        measured = found.get(stage.name, [])
        if not measured:
            continue
        pair = sum(stage.seconds), sum(job.seconds for job in measured)
        total = [total[0] + pair[0], total[1] + pair[1]]
        out += both(case, stage.name, "seconds, summed", *pair, "s")
        peaks = [job.peak_bytes for job in measured if job.peak_bytes]
        if peaks:
            out += both(case, stage.name, "peak memory", (stage.memory + stage.mapped) / 1e9, max(peaks) / 1e9, "GB")
    return out + both(case, "all stages", "seconds, summed", total[0], total[1], "s")


def both(case: str, stage: str, metric: str, predicted: float, measured: float, unit: str) -> list[Row]:
    """A prediction beside the measurement."""
    ratio = predicted / measured if measured else None
    return [
        Row(case, stage, f"{metric}: measured", measured, unit),
        Row(case, stage, f"{metric}: predicted", predicted, unit, "measured", ratio),
    ]


def main(arguments: list[str] | None = None) -> list[Row]:
    """Predict, compare, print."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--overlay", type=Path, help="config laid over config.yaml")
    made.add_argument("--logs", type=Path, help="logs/<pair> of the finished study")
    made.add_argument("--json", type=Path, metavar="FILE", help="write rows and machine there as well")
    chosen = made.parse_args(arguments)
    config = read_overlay(chosen.overlay)
    sizes = work(config)
    if sizes is None:
        raise SystemExit("error: nothing tells how large the models are")
    jobs = study.read(chosen.logs or Path("logs", config.pair.name))
    machine = calibrate(config.compute.device)
    found = rows(config.pair.name, stages(sizes, machine), jobs, machine)
    harness.report("costs", chosen, found)
    return found


if __name__ == "__main__":
    main()
