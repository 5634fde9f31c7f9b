"""The chain of anything that the page shows reaches models and corpus, with hashes, commits, runs and commands."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossdiff.errors import UserError
from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.chain import chain, target
from crossdiff.provenance.explain import lines
from crossdiff.provenance.files import sha256_file

from .finished import PAIR, TRACKED, put

LATENTS = "latents/chat-sae-seed0.parquet"


def explained(address: str) -> str:
    """What the command prints."""
    root, file, key = target(address)
    study = Study(root, Hashes())
    return "\n".join(lines(study, chain(study, file, key)))


def values(said: str) -> list[str]:
    """The values it prints."""
    return [line.removeprefix("value").strip() for line in said.splitlines() if line.startswith("value")]


def document(file: str) -> Any:
    return json.loads(Path(PAIR, file).read_text())


def test_a_number_reaches_the_pair_with_hashes_and_commands(base: Path) -> None:
    root, file, key = target(f"{PAIR}/metrics.json#dictionaries.chat-sae.fve.pooled")
    study = Study(root, Hashes())
    told = chain(study, file, key)
    assert told.steps == (
        "dictionaries/chat-sae-seed0/run.json",
        "dictionaries/chat-sae-seed1/run.json",
        "activations/run.json",
        "corpus/run.json",
        "truth/run.json",
        "pair/run.json",
    )
    said = "\n".join(lines(study, told))
    assert str(study.numbers["dictionaries"]["chat-sae"]["fve"]["pooled"]["mean"]) in said
    assert sha256_file(base / PAIR / "dictionaries/chat-sae-seed0/run.json") in said
    assert f"input      {PAIR}/activations/manifest.json  sha256 " in said
    assert "command    make dictionaries/chat-sae-seed0/run.json" in said
    assert f"snakemake {PAIR}/metrics.json --forcerun {PAIR}/dictionaries/chat-sae-seed0/run.json" in said


def test_it_names_commit_run_models_and_corpus(base: Path) -> None:
    said = explained(f"{PAIR}/metrics.json#/dictionaries/chat-sae/l0").splitlines()
    record = document(TRACKED)
    assert said.count(f"code       commit {record['code']['commit']}") == 6
    assert f"mlflow     {record['mlflow']['run_id']}  {record['mlflow']['uri']}" in said
    assert "base       maker/base  revision base-revision" in said
    assert "chat       maker/chat  revision chat-revision" in said
    assert "rows       train: web 30" in said
    rows = sha256_file(base / PAIR / "corpus/rows.parquet")
    assert f"input      {PAIR}/corpus/rows.parquet  sha256 {rows}" in said
    report = f"written by {PAIR}/report/run.json  commit {document('report/run.json')['code']['commit']}"
    assert any(line.startswith(report) for line in said)


def test_it_prints_the_changes_that_a_step_ran_with(base: Path) -> None:
    record = document(TRACKED)
    record["code"] |= {"dirty": True, "changes": "diff --git a/src/x.py b/src/x.py\n+added = 1"}
    put(base / PAIR / TRACKED, record)
    said = explained(f"{PAIR}/{TRACKED}#/results/fve")
    commit = record["code"]["commit"]
    patch = "\n           diff --git a/src/x.py b/src/x.py\n           +added = 1\n"
    assert f"code       commit {commit} with changes{patch}" in said


def test_a_command_that_nobody_kept_is_told_as_unknown(base: Path) -> None:
    shutil.rmtree(base / ".snakemake")
    said = explained(f"{PAIR}/metrics.json#/pair/layers")
    assert "command    unknown: Snakemake's record of the step, under .snakemake/metadata, is not here" in said


def test_a_cell_of_a_table(base: Path) -> None:
    table = pl.read_parquet(base / PAIR / LATENTS)
    expected = str(table.row(by_predicate=pl.col("latent") == 3, named=True)["frequency"])
    for before in (f"{PAIR}/", ""):
        said = explained(f"{before}{LATENTS}#latent=3&column=frequency")
        assert values(said) == [expected]
        assert f"kept in    {PAIR}/{LATENTS}  sha256 {sha256_file(base / PAIR / LATENTS)}" in said
        assert "command    make latents/chat-sae-seed0.run.json" in said
        assert "chat       maker/chat  revision chat-revision" in said
        assert f"again      snakemake {PAIR}/latents/chat-sae-seed0.run.json --force" in said
    calls = pl.read_parquet(base / PAIR / "calls/chat-sae.parquet").filter(seed=1, latent=3)
    assert values(explained(f"{PAIR}/calls/chat-sae.parquet#seed=1&latent=3&column=call")) == [calls["call"].item()]


def test_a_row_of_a_table_by_the_page_s_address_of_a_latent(base: Path) -> None:
    said = explained(f"{PAIR}/report/report.html#latent=chat-sae/0/3")
    assert said.startswith(f"{LATENTS}#latent=3\n")
    assert "latent  3" in values(said)
    assert len(values(said)) == len(pl.read_parquet_schema(base / PAIR / LATENTS))


def test_columns_as_a_chain_names_them(base: Path) -> None:
    said = values(explained(f"{PAIR}/truth/answers.parquet#present_base, present_chat where behaviour = new-name"))
    assert said[:2] == ["present_base  False", "present_chat  True"]
    assert len(said) == 2 * 16
    assert values(explained(f"{PAIR}/{LATENTS}#dead"))[-1] == "rows  20 of 60 shown"


def test_records_and_parts_of_documents(base: Path) -> None:
    results = document(TRACKED)["results"]
    assert values(explained(f"{PAIR}/{TRACKED}#/results/fve")) == [str(results["fve"])]
    assert values(explained(f"{PAIR}/{TRACKED}#results.l0")) == [str(results["l0"])]
    assert len(values(explained(f"{PAIR}/{TRACKED}#/results"))) == len(results)
    counts = f"{PAIR}/activations/manifest.json#/splits/train/masked_tokens/1/count"
    assert values(explained(counts)) == ["12"]


def test_a_part_of_the_numbers_is_all_that_is_in_it(base: Path) -> None:
    metrics = document("metrics.json")
    kl = values(explained(f"{PAIR}/metrics.json#pair.kl"))
    assert len(kl) > 4
    assert kl[0].startswith(f"/kl/all/none  {metrics['pair']['kl']['kl']['all']['none']['mean']}")
    entry = next(number for number, each in enumerate(metrics["calibration"]) if each["dictionary"] == "chat-sae")
    said = explained(f"{PAIR}/metrics.json#/calibration/{entry}/criterion")
    assert values(said) == [metrics["calibration"][entry]["criterion"]]
    assert f"made of    {PAIR}/calls/chat-sae.run.json" in said
    assert "calls/crosscoder-l1" not in said
    prompts = metrics["dictionaries"]["chat-sae"]["answers_turned"]["add"]["best"]["n"]
    assert values(explained("metrics.json#/dictionaries/chat-sae/answers_turned/add/best/n")) == [str(prompts)]


def test_a_figure_names_all_that_it_is_drawn_from(base: Path) -> None:
    said = explained(f"{PAIR}/report/figures/kl-recovered.svg")
    for name in document("report/run.json")["params"]["dictionaries"]:
        for seed in (0, 1):
            assert f"made of    {PAIR}/evidence/{name}-seed{seed}/kl.parquet  kl, tokens  sha256 " in said
    assert f"step       evidence/baselines  ({PAIR}/evidence/baselines/run.json)" in said
    assert "chat       maker/chat  revision chat-revision" in said
    path = base / PAIR / "report/figures/kl-recovered.vl.json"
    put(path, {key: value for key, value in json.loads(path.read_text()).items() if key != "usermeta"})
    with pytest.raises(UserError, match="does not tell what it is drawn from; write the report again"):
        explained(f"{PAIR}/report/figures/kl-recovered.svg")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"{PAIR}/metrics.json#pair.nothing", r"metrics.json has nothing at pair.nothing; it has layers"),
        (f"{PAIR}/metrics.json", r"name a number in it, such as #pair\.layers"),
        ("nothing.json", r"give results/<pair>/metrics\.json#KEY"),
        (f"{PAIR}/{LATENTS}#latent=3&column=novel", r"no column novel; it has latent, "),
        (f"{PAIR}/{LATENTS}#latent=777&column=dead", r"has no row where latent = 777"),
        (f"{PAIR}/{LATENTS}#latent=x&column=dead", r"latent is a column of numbers"),
        (f"{PAIR}/{TRACKED}#/results/novel", r"run.json has nothing at /results/novel; it has fve, l0"),
        (f"{PAIR}/latents/gone.parquet#latent=3", r"latents/gone\.parquet is missing"),
        (f"{PAIR}/ro-crate-metadata.json#/x", r"no step of the study made it"),
        (f"{PAIR}/report/report.html#calls", r"no key in such a file"),
    ],
)
def test_what_is_not_there_is_told(base: Path, address: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        explained(address)


def test_a_study_of_an_overlay_is_made_again_with_it(base: Path) -> None:
    """Without it Snakemake makes the study of config.yaml, and knows no rule for this one's files."""
    again = f"again      snakemake {PAIR}/corpus/run.json --force"
    (base / "config.yaml").write_text("pair: {name: other}")
    assert f"{again} --configfile config.yaml OVERLAY.yaml" in explained(f"{PAIR}/corpus/run.json#seconds")
    (base / "configs").mkdir()
    (base / "configs/mine.yaml").write_text(f"pair: {{name: {Path(PAIR).name}}}")
    assert f"{again} --configfile config.yaml configs/mine.yaml" in explained(f"{PAIR}/corpus/run.json#seconds")
    (base / "configs/broken.yaml").write_text("pair: [")
    assert "configs/mine.yaml" in explained(f"{PAIR}/corpus/run.json#seconds")
    (base / "config.yaml").write_text(f"pair: {{name: {Path(PAIR).name}}}")
    assert "--configfile" not in explained(f"{PAIR}/corpus/run.json#seconds")
