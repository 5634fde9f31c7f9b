"""Numerics and their benchmarks import on a machine with only torch, transformers, safetensors, numpy and scipy."""

import subprocess
import sys

ABSENT = ("polars", "typer", "datasets", "pydantic", "mlflow", "snakemake", "dvc", "peft", "altair")
NUMERICS = [
    "activations.checks",
    "activations.extract",
    "activations.prefetch",
    "activations.quantise",
    "activations.sample",
    "activations.stats",
    "activations.store",
    "activations.stream",
    "attribution.comparisons",
    "attribution.contexts",
    "attribution.jackknife",
    "attribution.maxima",
    "attribution.measure",
    "attribution.norms",
    "attribution.scaling",
    "attribution.separation",
    "attribution.template",
    "attribution.twins",
    "attribution.usage",
    "corpus.render",
    "dictionaries",
    "dictionaries.architecture",
    "dictionaries.eager",
    "dictionaries.formats",
    "dictionaries.sparse",
    "dictionaries.together",
    "dictionaries.train",
    "evidence.behaviours.causal",
    "evidence.behaviours.collateral",
    "evidence.behaviours.detection",
    "evidence.behaviours.directions",
    "evidence.behaviours.selection",
    "evidence.calls.calibration",
    "evidence.calls.calling",
    "evidence.calls.criteria",
    "evidence.calls.honesty",
    "evidence.calls.stability",
    "evidence.generate",
    "evidence.interpretation.activity",
    "evidence.interpretation.prompts",
    "evidence.interpretation.sampling",
    "evidence.interpretation.scores",
    "evidence.intervals",
    "evidence.kl.divergence",
    "evidence.kl.interventions",
    "evidence.readings",
    "examples.readings",
    "examples.windows",
    "pair.blocks",
    "truth.synthetic.learn",
    "truth.synthetic.match",
    "truth.synthetic.scores",
    "truth.synthetic.world",
]
BENCHMARKS = ["training", "extraction", "sampling", "attribution", "precision", "products"]
"""Those that measure a GPU."""
PROGRAM = """
import importlib, sys
absent, names = sys.argv[1].split(","), sys.argv[2].split(",")
sys.modules.update(dict.fromkeys(absent))  # None there makes an import fail as if it were not installed
for name in names:
    importlib.import_module(name)
"""


def imported(*names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, ",".join(ABSENT), ",".join(names)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_numerics_and_benchmarks_need_no_workflow_library() -> None:
    done = imported(*(f"crossdiff.{name}" for name in NUMERICS), *(f"benchmarks.{name}" for name in BENCHMARKS))
    assert done.returncode == 0, done.stderr


def test_the_absence_is_real() -> None:
    assert "ModuleNotFoundError: import of " in imported("crossdiff.config").stderr
