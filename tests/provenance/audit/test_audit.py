"""One flipped byte in any artefact is named by the audit, with the numbers that rest on it."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.audit.run import Told, audit, lines
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import leaves

from .finished import PAIR, SOURCE, flip


def told(base: Path, fast: bool = False, everything: bool = False) -> list[Told]:
    return list(audit(Study(base / PAIR, Hashes(), fast), everything))


def broken(base: Path) -> tuple[str, str, set[str]]:
    """(kind, sentences, tainted numbers) of the break that ends the audit."""
    last = told(base)[-1]
    assert last.finding.breaks, "the audit found nothing"
    return last.name, "\n".join(item.what for item in last.finding.breaks), set(last.numbers)


def all_numbers(base: Path) -> set[str]:
    return {key for key, _ in leaves(Study(base / PAIR, Hashes()).metrics or {})}


def test_a_whole_study_holds_in_every_check(base: Path) -> None:
    found = told(base)
    assert [item.finding.breaks for item in found] == [[]] * 10
    assert all(item.finding.held for item in found), [item.name for item in found if not item.finding.held]


Numbers = Callable[[str], bool]
BREAKS: list[tuple[str, bytes, str, Numbers]] = [
    (
        "activations/shard-00000.safetensors",
        b"",
        "weights = manifest",
        lambda key: key.startswith("/dictionaries/chat-sae/"),
    ),
    (
        "dictionaries/chat-sae-seed1/dictionary.safetensors",
        b"",
        "files = run.json",
        lambda key: key.endswith("chat-sae/seeds/1/dead"),
    ),
    ("latents/chat-sae-seed0.parquet", b"", "files = run.json", lambda key: key.endswith("chat-sae/dead")),
    (
        "null/activations/shard-00000.safetensors",
        b"",
        "weights = manifest",
        lambda key: key.startswith(("/dictionaries/chat-sae/calls", "/pair/null_difference_share", "/calibration")),
    ),
    ("null/latents/chat-sae-seed0.parquet", b"", "files = run.json", lambda key: "/chat-sae/calls/null_tune/" in key),
    ("evidence/baselines/kl.parquet", b"", "files = run.json", lambda key: key.startswith("/pair/kl/")),
    ("corpus/rows.parquet", b"", "weights = manifest", lambda key: key.startswith("/dictionaries/chat-sae/")),
    ("activations/manifest.json", b'"overall": 0.', "weights = manifest", lambda key: "difference_share" in key),
    (
        "dictionaries/chat-sae-seed0/run.json",
        b'"l0": ',
        "files = run.json",
        lambda key: key.endswith("chat-sae/seeds/0/l0"),
    ),
    ("metrics.json", b'"overall": 0.', "metrics.json = tables", lambda key: key == "/pair/difference_share/overall"),
    ("report/origins.json", b"seed", "metrics.json = tables", lambda key: False),
    ("report/run.json", b'"commit": "', "files = DVC", lambda key: False),
    ("ro-crate-metadata.json", b'"sha256": "', "files = DVC", lambda key: False),
]


@pytest.mark.parametrize(("file", "after", "kind", "numbers"), BREAKS, ids=[file for file, *_ in BREAKS])
def test_a_flipped_byte_is_named(base: Path, file: str, after: bytes, kind: str, numbers: Numbers) -> None:
    flip(base / PAIR / file, after)
    name, what, tainted = broken(base)
    assert name == kind
    assert f"{PAIR}/{file}" in what or file == "report/run.json"
    assert {key for key in all_numbers(base) if numbers(key)} <= tainted
    assert tainted or file.startswith(("report/", "ro-crate"))


def test_only_numbers_of_a_broken_table_are_tainted(base: Path) -> None:
    flip(base / PAIR / "latents/chat-sae-seed0.parquet")
    _, _, tainted = broken(base)
    # The calls read the table, and so do the rates that are taken from them.
    rests = ("/dictionaries/chat-sae/", "/calibration", "/costs/")
    assert all(key.startswith(rests) for key in tainted), sorted(tainted)
    assert "/dictionaries/chat-sae/seeds/0/dead" in tainted
    assert "/dictionaries/chat-sae/seeds/1/dead" not in tainted
    assert "/dictionaries/chat-sae/fve/pooled" not in tainted


def test_without_the_sidecar_the_tables_tell_the_sources(base: Path) -> None:
    (base / PAIR / "report/origins.json").unlink()
    flip(base / PAIR / "activations/shard-00000.safetensors")
    _, _, tainted = broken(base)
    assert "/dictionaries/chat-sae/fve/pooled" in tainted
    assert not {"/pair/layers", "/costs/seconds/pair"} & tainted


def test_weights_taint_what_was_measured_on_them_and_not_their_training(base: Path) -> None:
    flip(base / PAIR / "dictionaries/chat-sae-seed0/dictionary.safetensors")
    _, _, tainted = broken(base)
    assert {"/dictionaries/chat-sae/seeds/0/dead", "/dictionaries/chat-sae/kl/all/random"} <= tainted
    assert not [key for key in tainted if "crosscoder" in key]


def test_a_number_changed_on_the_page_is_named(base: Path) -> None:
    page = base / PAIR / "report/report.html"
    before = page.read_bytes()
    flip(page, b'data-src="metrics.json#/dictionaries/chat-sae/fve/pooled" data-style="share"', digit=True)
    assert before != page.read_bytes()
    page.write_bytes(before.replace(b"<b>0.7", b"<b>0.6", 1))
    name, what, tainted = broken(base)
    assert name == "report = metrics.json"
    assert len(tainted) == 1
    assert next(iter(tainted)) in what


def test_prose_changed_on_the_page_is_seen_by_its_hash(base: Path) -> None:
    page = base / PAIR / "report/report.html"
    page.write_bytes(page.read_bytes().replace(b"chat", b"chap", 1))
    assert broken(base)[0] == "files = DVC"


def test_another_setting_taints_what_was_made_with_it(base: Path) -> None:
    flip(base / "config.yaml", b"resamples: ")
    name, what, tainted = broken(base)
    assert (name, "config.yaml: evidence.resamples" in what) == ("config = run.json", True)
    assert "/dictionaries/chat-sae/kl/all/random" in tainted
    assert "/dictionaries/chat-sae/fve/pooled" not in tainted


def test_a_changed_source_file_taints_what_its_step_made(base: Path) -> None:
    flip(base / SOURCE)
    name, what, tainted = broken(base)
    assert (name, SOURCE in what) == ("code = commit", True)
    assert tainted == all_numbers(base)


def test_another_number_in_mlflow_is_named(base: Path) -> None:
    with sqlite3.connect(base / "mlflow.db") as database:
        changed = database.execute("update metrics set value = value + 1 where key = 'fve' and step = 0").rowcount
    assert changed == 1
    name, what, tainted = broken(base)
    assert name == "run.json = MLflow"
    assert "fve of results/made-up/dictionaries/chat-sae-seed0/run.json" in what
    assert tainted == {f"/dictionaries/chat-sae/{place}fve/pooled" for place in ("", "seeds/0/")}


def test_a_clone_without_the_database_and_the_cache_says_what_it_could_not_check(base: Path) -> None:
    (base / "mlflow.db").unlink()
    shutil.rmtree(base / ".snakemake")
    shutil.rmtree(base / ".dvc")
    found = told(base)
    assert not [item for item in found if item.finding.breaks]
    said = "\n".join(line for item in found for line in lines(Study(base / PAIR, Hashes()), item))
    assert "unknown  run.json = MLflow" in said
    assert "sqlite:///mlflow.db is not here" in said
    assert "there is no .snakemake/metadata" in said
    assert "holds    files = DVC" in said
    assert not (base / "mlflow.db").exists()


def test_without_the_folder_object_dvc_still_sees_a_change(base: Path) -> None:
    shutil.rmtree(base / ".dvc")
    (base / PAIR / "report/figures/left-over.svg").write_text("<svg/>")
    assert broken(base)[0] == "files = DVC"


def test_fast_trusts_a_shard_by_size_and_time_and_says_so(base: Path) -> None:
    shard = base / PAIR / "activations/shard-00000.safetensors"
    before = shard.stat().st_mtime_ns
    flip(shard)
    os.utime(shard, ns=(before, before))
    found = told(base, fast=True)
    assert "trusted by size and time" in found[0].finding.unchecked[0]
    assert not found[0].finding.breaks
    shard.touch()
    assert told(base, fast=True)[0].finding.breaks, "a shard newer than its record is read"


def test_all_goes_on_after_a_break(base: Path) -> None:
    flip(base / PAIR / "evidence/baselines/kl.parquet")
    found = told(base, everything=True)
    assert len(found) == 10
    assert {item.name for item in found if item.finding.breaks} >= {
        "files = run.json",
        "files = DVC",
        "files = RO-Crate",
    }
