"""Every command of the README's code blocks, and its Python; a new command needs its line here.

All are run but what would install packages or start a server, of which `make -n` shows what it would do.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import ROOT, Tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
GEMMA = "configs/gemma-2-2b.yaml"
KEY = "dictionaries.diff-sae.fve.pooled"
TRAINED = "crosscoder-batchtopk-seed0"
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
"""Not run here, and what `make -n` shows that it would do.

The default study takes hours and Gemma a GPU: the miniature study is made by the same `make study` (the fixture
`done`). `make test` is what runs this test, `make ui` starts a server, `make bench-env` installs packages.
"""
ELSEWHERE = {
    "tests/smoke/test_smoke.py": {
        "crossdiff audit results/smollm2-planted": "test_the_audit_holds_and_a_chain_is_told",
        f"crossdiff explain results/smollm2-planted/metrics.json#{KEY}": "test_the_audit_holds_and_a_chain_is_told",
        f"crossdiff latents results/smollm2-planted/latents/{TRAINED}.parquet": "test_what_people_do_by_hand",
        "snakemake -n": "test_a_second_run_has_nothing_to_do",
        "dvc push": "test_a_clone_with_pulled_results_has_nothing_to_do",
        "dvc pull": "test_a_clone_with_pulled_results_has_nothing_to_do",
        "crossdiff diff HEAD~1 HEAD": "test_two_commits_are_compared",
    },
    "tests/test_survey.py": {f"crossdiff check-pair {GEMMA}": "test_command_shows_all_and_fails"},
    "tests/benchmarks/test_benchmarks_run.py": {
        ".venv-bench/bin/python -m benchmarks.training --json build/training.json": "test_training_compares_with_all",
    },
}
"""What other tests run, with made-up models, remotes or sizes."""
CLUSTER = "snakemake --profile profiles/slurm"
"""Needs a cluster: dry-run."""
NAMES = {"results/smollm2-narrow": "results/again", "smollm2-planted": "smoke", TRAINED: "crosscoder-seed0"}


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language; "" for commands."""
    text = (ROOT / "README.md").read_text()
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


def commands() -> list[str]:
    """Lines of the blocks that name no language, without comments and `.venv/bin/`."""
    lines = [re.split(r"\s+#\s", line)[0].strip() for block in blocks("") for line in block.splitlines()]
    return [line.removeprefix(".venv/bin/") for line in lines if line]


def of_the_miniature(text: str) -> str:
    """A command or program with the miniature study's names."""
    for name, instead in NAMES.items():
        text = text.replace(name, instead)
    return text


def test_every_command_is_known() -> None:
    found = commands()
    assert len(found) > 15
    elsewhere = {command for tests in ELSEWHERE.values() for command in tests}
    assert set(found) == RUN.keys() | DRY.keys() | elsewhere | {CLUSTER}
    for file, tests in ELSEWHERE.items():
        text = (ROOT / file).read_text()
        assert all(f"def {test}(" in text for test in tests.values())


@pytest.mark.parametrize("command", RUN)
def test_it_runs_as_written(done: Tree, command: str) -> None:
    given = of_the_miniature(command)
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


def test_the_python_block_runs(done: Tree) -> None:
    (block,) = blocks("python")
    shown = "\nprint(*map(list, (x_BLD.shape, f_BF.shape, x_hat_BLD.shape)))\n"
    said = done.run("python", "-c", of_the_miniature(block) + shown)
    tokens = int(re.search(r"^\[(\d+), 2, 32\]", said, re.MULTILINE)[1])  # type: ignore[index]
    assert f"[{tokens}, 2, 32] [{tokens}, 96] [{tokens}, 2, 32]" in said


def test_a_cluster_would_run_the_study(done: Tree) -> None:
    """Without the executor's package, by Snakemake's own executor, and skipped after that."""
    there = find_spec("snakemake_executor_plugin_slurm") is not None
    plan = done.run(*CLUSTER.split(), "--dry-run", "--forceall", *(() if there else ("--executor", "dryrun")))
    assert re.search(r"^dictionary +[1-9]", plan, re.MULTILINE), plan
    assert "Using profiles profiles/slurm" in plan
    if not there:
        pytest.skip("snakemake-executor-plugin-slurm is not installed: the rest of the profile was dry-run without it")
