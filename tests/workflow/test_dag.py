"""The DAG builds for every config, and dvc.yaml covers it. Nothing is run."""

import csv
import io
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/*.yaml"))
Snakemake = Callable[..., subprocess.CompletedProcess[str]]
NO_NULL = "calibration: {null_tune: null}\n"


@pytest.fixture
def snakemake(tools: Path) -> Snakemake:
    """The command in this tree."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [tools / "snakemake", "--nolock", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("overlay", [None, *OVERLAYS], ids=lambda path: Path(path or "config").stem)
def test_builds(snakemake: Snakemake, overlay: str | None) -> None:
    # As for a folder without results: whatever lies in this one, everything is asked for.
    done = snakemake("-n", "--forceall", *(["--configfile", "config.yaml", overlay] if overlay else []))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines() if line and len(line.split()) == 2)
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    seeds = yaml.safe_load(Path(ROOT, overlay or "config.yaml").read_text()).get("seeds", study["seeds"])
    trainings = len(study["dictionaries"]) * len(seeds)
    nulls = bool(re.search("null_tune:(?! null)", Path(ROOT, overlay or "config.yaml").read_text()))
    trained, read = trainings + nulls * len(study["dictionaries"]), 1 + nulls
    wanted = {"dictionary": trained, "attribution": trained, "evidence": trainings, "pair": read, "activations": read}
    wanted |= {"corpus": 1, "baselines": 1, "report": 1}
    assert {rule: int(counts[rule]) for rule in wanted} == wanted


def test_dictionaries_of_a_stream_are_one_job(snakemake: Snakemake, tmp_path: Path) -> None:
    (tmp_path / "stream.yaml").write_text("activations: {store: stream}\n")
    done = snakemake("-n", "--forceall", "--configfile", "config.yaml", str(tmp_path / "stream.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines() if line and len(line.split()) == 2)
    assert "dictionary" not in counts
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    trainings = len(study["dictionaries"]) * len(study["seeds"])
    measured = trainings + len(study["dictionaries"])
    jobs = [int(counts[rule]) for rule in ("dictionaries_chat", "dictionaries_null", "attribution", "report")]
    assert jobs == [1, 1, measured, 1]


def test_more_evidence_is_asked_for_by_switches(snakemake: Snakemake, tmp_path: Path) -> None:
    prompts = "{path: some/prompts, column: prompt}"
    (tmp_path / "more.yaml").write_text(f"evidence: {{layer_sweep: all, steering: {{}}, prompts: {prompts}}}")
    done = snakemake("-n", "--forceall", "-p", "--configfile", "config.yaml", str(tmp_path / "more.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines() if line and len(line.split()) == 2)
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    trainings = len(study["dictionaries"]) * len(study["seeds"])
    wanted = {"prompts": 1, "layers": 1, "baselines": 1, "evidence": trainings, "steering": trainings}
    assert {rule: int(counts[rule]) for rule in wanted} == wanted
    commands = [line for line in done.stdout.splitlines() if "python -m crossdiff.evidence" in line]
    read = [line for line in commands if "--rows results/smollm2-planted/evidence/prompts/rows.parquet" in line]
    assert len(read) == 2 + trainings


@pytest.mark.parametrize("store", ["disk", "stream"])
def test_published_dictionaries_are_taken_instead_of_trained(snakemake: Snakemake, tmp_path: Path, store: str) -> None:
    trained = 2 * len(yaml.safe_load((ROOT / "config.yaml").read_text())["seeds"])
    entries = "crosscoder-l1: null, chat-sae: null, theirs: {from: org/theirs, kind: crosscoder}"
    (tmp_path / "theirs.yaml").write_text(f"{NO_NULL}activations: {{store: {store}}}\ndictionaries: {{{entries}}}")
    done = snakemake("-n", "--forceall", "--configfile", "config.yaml", str(tmp_path / "theirs.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines() if line and len(line.split()) == 2)
    assert (counts["published"], counts["attribution"], counts["evidence"]) == ("1", *[str(trained + 1)] * 2)
    jobs = (str(trained), None) if store == "disk" else (None, "1")
    assert (counts.get("dictionary"), counts.get("dictionaries_chat")) == jobs


def test_one_seed_of_each_dictionary_is_explained_if_a_model_is_named(snakemake: Snakemake, tmp_path: Path) -> None:
    (tmp_path / "asked.yaml").write_text("evidence: {interpretation: {explainer: {path: org/chat}}}")
    done = snakemake("-n", "--forceall", "--configfile", "config.yaml", str(tmp_path / "asked.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines() if line and len(line.split()) == 2)
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert counts["interpretation"] == str(len(study["dictionaries"]))


def test_a_study_may_train_nothing(snakemake: Snakemake, tmp_path: Path) -> None:
    names = yaml.safe_load((ROOT / "config.yaml").read_text())["dictionaries"]
    entries = "".join(f"{name}: null, " for name in names) + "theirs: {from: org/theirs, kind: diff-sae}"
    (tmp_path / "theirs.yaml").write_text(f"dictionaries: {{{entries}}}")
    done = snakemake("-n", "--forceall", "--configfile", "config.yaml", str(tmp_path / "theirs.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines() if line and len(line.split()) == 2)
    assert "dictionary" not in counts
    assert (counts["published"], counts["attribution"], counts["report"], counts["plant"]) == ("1", "1", "1", "1")


def test_dvc_covers_everything_that_is_read_and_made(snakemake: Snakemake) -> None:
    pair = yaml.safe_load((ROOT / "config.yaml").read_text())["pair"]["name"]
    text = (ROOT / "dvc.yaml").read_text().replace("${pair.name}", pair)
    stage = yaml.safe_load(text)["stages"]["study"]
    out = [next(iter(entry)) for entry in stage["outs"] + stage["metrics"]]
    done = snakemake("--detailed-summary")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t"))
    made = {row["output_file"] for row in rows}
    named = set().union(*inputs(snakemake).values())
    read = {file for name in named if "{" not in (file := name.replace("{pair}", pair))} - made
    assert len(made) > 50 < len(read)
    assert not [file for file in read if not covered(file, stage["deps"])]
    assert not [file for file in made if not covered(file, out)]
    assert not [entry for entry in out if entry != ".snakemake/metadata" and not any(covered(f, [entry]) for f in made)]


def test_what_judges_answers_runs_again_where_a_behaviours_rule_changed(snakemake: Snakemake) -> None:
    read = inputs(snakemake)
    for rule in ("plant", "behaviours", "baselines", "evidence"):
        assert "src/crossdiff/truth/behaviours/own-name.yaml" in read[rule], rule


def inputs(snakemake: Snakemake) -> dict[str, set[str]]:
    """Files that each rule reads, by what it says before any runs; those that a function names are left out."""
    done = snakemake("--filegraph")
    assert done.returncode == 0, done.stderr
    found = {}
    for node in re.split(r"^\d+ \[ shape=none", done.stdout, flags=re.MULTILINE)[1:]:
        rule = re.findall(r'point-size="18">(.*?)</font>', node)[0]
        files = node.partition("&#8618; input")[2].partition("output &rarr;")[0]
        found[rule] = set(re.findall(r'"monospace">([^&]*?)</font>', files))
    return found


def covered(path: str, roots: list[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(root) for root in roots)


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            "dictionaries: {diff-sae: {k: 9999}}",
            "overlay.yaml: dictionaries.diff-sae: k = 9999 is larger than latents",
        ),
        (
            "dictionaries: {theirs: {from: ./gone, kind: crosscoder}}",
            "error: dictionaries.theirs.from: there is no gone",
        ),
        ("pair: {name: other, base: {path: ./gone, package: null}}", "error: pair.base.path: there is no ./gone"),
        ("seeds: [0]\nseeds: [1]", "overlay.yaml, line 2: seeds was given in line 1 already"),
    ],
)
def test_a_wrong_config_ends_with_one_message(snakemake: Snakemake, tmp_path: Path, overlay: str, message: str) -> None:
    file = tmp_path / "overlay.yaml"
    file.write_text(overlay)
    done = snakemake("-n", "--configfile", "config.yaml", str(file))
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "Error in" not in done.stderr
