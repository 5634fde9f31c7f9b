"""Every command of the README's code blocks is run by a test; a new one needs its line here."""

import re
from pathlib import Path

import pytest

from .conftest import ROOT, Tree

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("smoke"), pytest.mark.timeout(1800)]
GEMMA = "configs/gemma-2-2b.yaml"
KEY = "dictionaries.diff-sae.fve.pooled"
RUN = {
    "crossdiff compare results/smollm2-planted results/smollm2-narrow --out comparison.html": "wrote comparison.html",
    "snakemake --report snakemake-report.html": "Report created",
    "dvc params diff": "",
    "dvc metrics diff": "",
    "python -m benchmarks.study logs/smollm2-planted": "dictionaries",
}
"""What is run here as it stands, with the miniature study's names in place of the default one's, and what it says."""
DRY = {
    "make study": "dvc repro",
    "make test": "pytest",
    "make ui": "mlflow ui",
    "make bench-env": "dictionary-learning",
    f"make study CONFIG={GEMMA}": f"snakemake --configfile config.yaml {GEMMA}",
}
"""What `make -n` shows that it would do."""
ELSEWHERE = {
    "crossdiff audit results/smollm2-planted": "tests/smoke/test_smoke.py",
    f"crossdiff explain results/smollm2-planted/metrics.json#{KEY}": "tests/smoke/test_smoke.py",
    "crossdiff latents results/smollm2-planted/latents/crosscoder-batchtopk-seed0.parquet": "tests/smoke/test_smoke.py",
    "snakemake -n": "tests/smoke/test_smoke.py",
    "dvc push": "tests/smoke/test_smoke.py",
    "dvc pull": "tests/smoke/test_smoke.py",
    f"crossdiff check-pair {GEMMA}": "tests/test_survey.py",
    "crossdiff diff HEAD~1 HEAD": "tests/provenance/audit/test_compare.py",
    "python -m benchmarks.training --json build/training.json": "tests/benchmarks/test_benchmarks_run.py",
}
"""What other tests run, with made-up models, remotes or sizes."""
CLUSTER = "snakemake --profile profiles/slurm"
"""Needs a cluster: run by no test."""
NAMES = {"results/smollm2-narrow": "results/again", "smollm2-planted": "smoke"}


def commands() -> list[str]:
    """Lines of the README's code blocks that name no language, without comments and `.venv/bin/`."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [
        re.split(r"\s+#\s", line)[0].strip()
        for language, block in blocks
        if not language
        for line in block.splitlines()
    ]
    return [line.removeprefix(".venv/bin/") for line in lines if line]


def test_every_command_is_known() -> None:
    found = commands()
    assert len(found) > 15
    assert set(found) == RUN.keys() | DRY.keys() | ELSEWHERE.keys() | {CLUSTER}
    for file in ELSEWHERE.values():
        assert (ROOT / file).is_file()


@pytest.mark.parametrize("command", RUN)
def test_it_runs_as_written(done: Tree, command: str) -> None:
    given = command
    for name, instead in NAMES.items():
        given = given.replace(name, instead)
    again = done.root / "results/again"
    if "again" in given:
        again.symlink_to(done.root / "results/smoke")
    try:
        said = done.run(*given.split())
    finally:
        for made in (again, done.root / "comparison.html", done.root / "snakemake-report.html"):
            Path(made).unlink(missing_ok=True)
    assert RUN[command] in said


@pytest.mark.parametrize("command", DRY)
def test_make_would_do_it(done: Tree, command: str) -> None:
    assert DRY[command] in done.run(
        *command.replace("make", "make -n", 1).split(), "--assume-old=.venv/.crossdiff-ready"
    )
