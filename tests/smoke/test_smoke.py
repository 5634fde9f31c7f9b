"""The whole study runs, knows what is fresh, travels, and leaves a trace of everything."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from mlflow import MlflowClient

from crossdiff import dictionaries
from crossdiff.config import Config
from crossdiff.parsing import dump, parse
from crossdiff.provenance.audit.run import CHECKS
from crossdiff.provenance.files import sha256_file

from .conftest import MAKE_STUDY, Tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
NOTHING = "Nothing to be done"
KEY = "dictionaries.diff-sae.fve.pooled"
NULL = ["crosscoder-seed0", "diff-sae-seed0"]
TRAINED = ["crosscoder-seed0", "crosscoder-seed1", "diff-sae-seed0", "diff-sae-seed1"]


def records(tree: Tree) -> dict[str, dict[str, Any]]:
    """Every run record of the study, by its path under results/smoke."""
    root = tree.root / "results/smoke"
    return {path.relative_to(root).as_posix(): json.loads(path.read_text()) for path in root.rglob("*run.json")}


def jobs(dry_run: str) -> dict[str, int]:
    """Number of jobs by rule, as `snakemake -n` tells them."""
    table = dry_run.partition("Job stats:")[2].partition("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def leaves(tree: Any) -> list[Any]:
    """Leaves of nested numbers; {mean, low, high, n} is one."""
    if isinstance(tree, dict) and set(tree) != {"mean", "low", "high", "n"}:
        return [leaf for part in tree.values() for leaf in leaves(part)]
    return [tree]


def test_page_and_numbers_are_there(done: Tree) -> None:
    page = (done.root / "results/smoke/report/report.html").read_text()
    numbers = json.loads((done.root / "results/smoke/metrics.json").read_text())
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert all(name in page for name in ("crosscoder", "diff-sae"))
    assert not re.search(r"""(src|href)=["']https?://""", page), "the page must need no network"
    calibration = numbers.pop("calibration")  # a list, whose rows have labels
    assert {row["dictionary"] for row in calibration} == {"crosscoder", "diff-sae"}
    assert all(row["observed"] is None or leaves(row["observed"]) for row in calibration)
    scoreboard = numbers.pop("behaviours")  # likewise
    assert {row["dictionary"] for row in scoreboard} == {"crosscoder", "diff-sae"}
    assert all(
        {"behaviour", "called", "auroc", "effect", "control", "best_baseline"} <= row.keys() for row in scoreboard
    )
    assert len(leaves(numbers)) > 20
    assert all(leaf is None or isinstance(leaf, int | float | dict) for leaf in leaves(numbers))


def test_dictionaries_load_and_reconstruct(done: Tree) -> None:
    for name in TRAINED:
        folder = done.root / "results/smoke/dictionaries" / name
        dictionary = dictionaries.load(folder)
        x_BLD = torch.randn(5, dictionary.encoder.shape[0], 32)
        assert dictionary.decode(dictionary.encode(x_BLD)).shape == x_BLD.shape
        assert pl.read_parquet(folder / "training.parquet").height > 5
        assert pl.read_parquet(done.root / f"results/smoke/latents/{name}.parquet").height == 96


def test_every_result_has_a_record_of_its_origin(done: Tree) -> None:
    found = records(done)
    commit = done.run("git", "rev-parse", "HEAD").strip()
    expected = {f"{where}/run.json" for where in ("models/chat", "pair", "truth", "corpus", "activations", "report")}
    drawn = {f"truth/synthetic/{name}/run.json" for name in ("crosscoder", "diff-sae")}
    expected |= drawn
    expected |= {f"calls/{name}.run.json" for name in ("crosscoder", "diff-sae")}
    expected |= {f"evidence/{name}/run.json" for name in ("baselines", *TRAINED)}
    expected |= {f"dictionaries/{name}/run.json" for name in TRAINED}
    expected |= {f"{where}/{name}.run.json" for where in ("latents", "examples") for name in TRAINED}
    expected |= {f"null/{where}/run.json" for where in ("models/chat", "pair", "activations")}
    expected |= {f"null/dictionaries/{name}/run.json" for name in NULL} | {
        f"null/latents/{name}.run.json" for name in NULL
    }
    assert set(found) == expected
    for name, record in found.items():
        assert record["params"], name
        assert record["inputs"] or name in drawn, name
        for path, digest in record["inputs"].items():
            assert sha256_file(done.root / path) == digest, f"{name}: {path}"
        assert record["code"] == {"commit": commit, "dirty": False}, name
        assert {"python", "torch", "transformers", "numpy", "snakemake"} <= set(record["versions"]), name
        assert record["mlflow"]["run_id"], name


def test_mlflow_shows_the_study(done: Tree) -> None:
    client = MlflowClient(f"sqlite:///{done.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = {run.info.run_id: run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    found = records(done)
    assert {record["mlflow"]["run_id"] for record in found.values()} == set(nested)
    assert {run.info.status for run in runs} == {"FINISHED"}
    commit = done.run("git", "rev-parse", "HEAD").strip()
    for run in runs:
        assert run.data.tags["crossdiff.commit"] == commit
        assert run.data.tags["crossdiff.config_sha256"] == parent.data.tags["crossdiff.config_sha256"]
    training = nested[found["dictionaries/diff-sae-seed1/run.json"]["mlflow"]["run_id"]]
    assert training.data.params["recipe.k"] == "6"
    curve = pl.read_parquet(done.root / "results/smoke/dictionaries/diff-sae-seed1/training.parquet")
    history = client.get_metric_history(training.info.run_id, "lr")
    assert sorted((point.step, point.value) for point in history) == curve.select("step", "lr").rows()


def test_config_hash_is_that_of_the_validated_config(done: Tree) -> None:
    import hashlib

    import yaml

    study = parse(Config, yaml.safe_load((done.root / "config.yaml").read_text()))
    client = MlflowClient(f"sqlite:///{done.root / 'mlflow.db'}")
    run_id = records(done)["report/run.json"]["mlflow"]["parent_run_id"]
    tags = client.get_run(run_id).data.tags
    assert tags["crossdiff.config_sha256"] == hashlib.sha256(dump(study).encode()).hexdigest()


def test_a_second_run_has_nothing_to_do(done: Tree) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.root.glob("results/**/*") if path.is_file()}
    done.study()
    assert {path: path.stat().st_mtime_ns for path in done.root.glob("results/**/*") if path.is_file()} == before
    assert NOTHING in done.run("snakemake", "--dry-run")
    assert "up to date" in done.run("dvc", "status")


def test_only_what_depends_on_a_dictionary_reruns_with_it(done: Tree, tmp_path: Path) -> None:
    overlay = tmp_path / "k.yaml"
    overlay.write_text("dictionaries: {diff-sae: {k: 4}}")
    plan = done.run("snakemake", "--dry-run", "--configfile", "config.yaml", str(overlay))
    again = {
        "synthetic": 1,
        "dictionary": 3,
        "attribution": 3,
        "evidence": 2,
        "calls": 1,
        "examples": 2,
        "report": 1,
        "crate": 1,
        "all": 1,
    }
    assert jobs(plan) == again
    messages = re.findall(r"^Job \d+: (.*)", plan, re.MULTILINE)
    assert not [message for message in messages if "crosscoder" in message]


def test_only_what_uses_a_source_file_reruns_with_it(done: Tree) -> None:
    page = done.root / "src/crossdiff/report/page.py"
    text = page.read_text()
    page.write_text(text + "\n# touched\n")
    try:
        assert jobs(done.run("snakemake", "--dry-run")) == {"report": 1, "crate": 1, "all": 1}
    finally:
        page.write_text(text)
    assert NOTHING in done.run("snakemake", "--dry-run")


@pytest.fixture(scope="module")
def clone(done: Tree, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A clone into which the results were pulled."""
    place = tmp_path_factory.mktemp("clone")
    done.run("dvc", "remote", "add", "--default", "--force", "storage", str(place / "remote"))
    done.run("dvc", "push")
    done.commit("the results")
    assert done.run("git", "status", "--porcelain") == ""
    done.run("git", "clone", "--quiet", str(done.root), str(place / "clone"))
    there = Tree(place / "clone", done.tools)
    assert (there.root / "results/smoke/metrics.json").is_file(), "the numbers are in git"
    there.run("dvc", "pull")
    return there


def test_a_clone_with_pulled_results_has_nothing_to_do(clone: Tree) -> None:
    assert "up to date" in clone.run("dvc", "status")
    assert NOTHING in clone.run("snakemake", "--dry-run")


def test_the_audit_of_a_clone_holds_and_says_what_it_could_not_check(clone: Tree) -> None:
    said = clone.run("crossdiff", "audit", "results/smoke")
    assert "BROKEN" not in said
    assert said.count("holds ") == len(CHECKS) - 1, said
    assert re.search(r"unknown  run.json = MLflow +MLflow runs of \d+ steps: sqlite:///mlflow.db is not here", said)
    assert not (clone.root / "mlflow.db").exists(), "to look for runs makes no database"


def test_a_chain_is_told_in_a_clone(clone: Tree) -> None:
    said = clone.run("crossdiff", "explain", f"results/smoke/metrics.json#{KEY}")
    assert "results/smoke/models/chat/model.safetensors" in said
    assert records(clone)["pair/run.json"]["code"]["commit"] in said
    assert "not in this checkout" not in said


def test_two_commits_are_compared(clone: Tree) -> None:
    file = clone.root / "results/smoke/metrics.json"
    numbers = json.loads(file.read_text())
    numbers["dictionaries"]["diff-sae"]["fve"]["pooled"]["mean"] = 9
    file.write_text(json.dumps(numbers))
    clone.commit("another number")
    said = clone.run("crossdiff", "diff", "HEAD~1", "HEAD")
    assert "inputs: the same" in said
    assert re.search(r"numbers: 1 differ\n +#/dictionaries/diff-sae/fve/pooled  .+ -> 9 ", said)


def test_a_wrong_overlay_ends_before_anything_runs(done: Tree, tmp_path: Path) -> None:
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text("{pair: {name: other, base: {path: ./gone}}, seeds: [0]}")
    said = done.run(*MAKE_STUDY, f"CONFIG={overlay}", check=False)
    assert "error: pair.base.path: there is no ./gone; mend the path" in said
    assert "Traceback" not in said
    assert "Building DAG" not in said


def test_what_people_do_by_hand(done: Tree) -> None:
    assert "2 dictionaries × 2 seeds" in done.run("crossdiff", "check")
    states = done.run("crossdiff", "status").split()[::2]
    assert len(states) > 10
    assert set(states) == {"current"}
    assert "result" in done.run("crossdiff", "show", "results/smoke/report/run.json")
    table = done.run("crossdiff", "latents", "results/smoke/latents/crosscoder-seed0.parquet", "--top", "3")
    assert "delta_norm" in table


def test_the_audit_holds_and_a_chain_is_told(done: Tree) -> None:
    said = done.run("crossdiff", "audit", "results/smoke")
    assert said.count("holds ") == len(CHECKS), said
    assert "BROKEN" not in said
    chain = done.run("crossdiff", "explain", f"results/smoke/metrics.json#{KEY}")
    assert "snakemake results/smoke/metrics.json --forcerun results/smoke/dictionaries/diff-sae-seed0/run.json" in chain


@pytest.mark.parametrize(
    ("file", "number"),
    [
        ("latents/diff-sae-seed1.parquet", "/dictionaries/diff-sae/seeds/1/dead"),
        ("models/chat/model.safetensors", "/dictionaries/* ("),
    ],
)
def test_the_audit_finds_a_flipped_byte(done: Tree, file: str, number: str) -> None:
    path = done.root / "results/smoke" / file
    kept = path.read_bytes()
    path.write_bytes(kept[:-20] + bytes([kept[-20] ^ 1]) + kept[-19:])
    try:
        said = done.run("crossdiff", "audit", "results/smoke", check=False)
    finally:
        path.write_bytes(kept)
    assert "BROKEN   files = run.json" in said
    assert f"results/smoke/{file} has the hash" in said
    assert f"#{number}" in said
