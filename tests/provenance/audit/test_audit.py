"""One flipped byte in any result is named by the audit, with the numbers that rest on it."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from crossdiff.provenance.audit import explored
from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.audit.run import CHECKS, lines
from crossdiff.provenance.audit.study import Study
from crossdiff.report.explorer.payload import packed, unpacked
from tests.report.study_files import edit

from .audited import all_numbers, broken, told
from .finished import MODEL, PAIR, flip


def test_a_whole_study_holds_in_every_check(base: Path) -> None:
    found = told(base)
    assert [item.finding.breaks for item in found] == [[]] * len(CHECKS)
    assert all(item.finding.held for item in found), [item.name for item in found if not item.finding.held]


Numbers = Callable[[str], bool]
BREAKS: list[tuple[str, tuple[bytes, ...], str, Numbers]] = [
    (
        "activations/shard-00000.safetensors",
        (),
        "weights = manifest",
        lambda key: key.startswith("/dictionaries/chat-sae/"),
    ),
    (
        "dictionaries/chat-sae-seed1/dictionary.safetensors",
        (),
        "files = run.json",
        lambda key: key.endswith("chat-sae/seeds/1/dead"),
    ),
    ("latents/chat-sae-seed0.parquet", (), "files = run.json", lambda key: key.endswith("chat-sae/dead")),
    (
        "null/activations/shard-00000.safetensors",
        (),
        "weights = manifest",
        lambda key: key.startswith(("/dictionaries/chat-sae/calls", "/pair/null_difference_share", "/calibration")),
    ),
    ("null/latents/chat-sae-seed0.parquet", (), "files = run.json", lambda key: "/chat-sae/calls/null_tune/" in key),
    ("evidence/baselines/kl.parquet", (), "files = run.json", lambda key: key.startswith("/pair/kl/")),
    ("corpus/rows.parquet", (), "weights = manifest", lambda key: key.startswith("/dictionaries/chat-sae/")),
    ("activations/manifest.json", (b'"overall": 0.',), "weights = manifest", lambda key: "difference_share" in key),
    (
        "dictionaries/chat-sae-seed0/run.json",
        (b'"l0": ',),
        "files = run.json",
        lambda key: key.endswith("chat-sae/seeds/0/l0"),
    ),
    ("metrics.json", (b'"overall": 0.',), "metrics.json = tables", lambda key: key == "/pair/difference_share/overall"),
    (
        "report/origins.json",
        (b'"/dictionaries/chat-sae/l0"', b"seed"),
        "metrics.json = tables",
        lambda key: key == "/dictionaries/chat-sae/l0",
    ),
    ("report/run.json", (b'"commit": "',), "files = DVC", lambda key: True),
]
"""A result, what stands before the flipped byte, the check that finds it, and numbers that rest on it."""


@pytest.mark.parametrize(("file", "marks", "kind", "numbers"), BREAKS, ids=[file for file, *_ in BREAKS])
def test_a_flipped_byte_is_named(base: Path, file: str, marks: tuple[bytes, ...], kind: str, numbers: Numbers) -> None:
    resting = {key for key in all_numbers(base) if numbers(key)}
    flip(base / PAIR / file, *marks)
    name, what, tainted = broken(base)
    assert name == kind
    assert f"{PAIR}/{file}" in what
    assert resting
    assert resting <= tainted


def test_weights_of_a_model_taint_all_that_was_read_of_it(base: Path) -> None:
    flip(base / MODEL)
    name, what, tainted = broken(base)
    assert name == "files = run.json"
    assert f"{MODEL} has the hash" in what
    assert {"/pair/kl/kl/all/none", "/dictionaries/chat-sae/fve/pooled", "/behaviours"} <= tainted


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


def test_a_number_flipped_on_the_page_is_named(base: Path) -> None:
    key = "/dictionaries/chat-sae/fve/pooled"
    flip(base / PAIR / "report/report.html", f'data-src="metrics.json#{key}" data-style="share"'.encode(), b"<b>")
    name, what, tainted = broken(base)
    assert name == "report = metrics.json"
    assert f"{PAIR}/report/report.html shows 1." in what
    assert f"for metrics.json#{key}" in what
    assert tainted == {key}


def test_a_number_changed_in_the_explorer_is_named(base: Path) -> None:
    page = base / PAIR / "report/report.html"
    before, element, rest = page.read_text().partition(explored.ELEMENT)
    data, end, after = rest.partition("</script>")
    whole = unpacked(data)
    whole["table"]["frequency"][0] += 1
    page.write_text(before + element + packed(whole) + end + after)
    name, what, tainted = broken(base)
    assert name == "explorer = tables"
    assert f"{PAIR}/report/report.html holds 1." in what
    assert re.search(r"at table/frequency/0 \(latent \d+ of crosscoder-l1-seed0\); the tables give 0\.", what)
    assert not tainted, "metrics.json has none of the explorer's numbers"


@pytest.mark.parametrize("after", [b"", b"eJ"])
def test_a_byte_flipped_in_the_explorer_is_named(base: Path, after: bytes) -> None:
    flip(base / PAIR / "report/report.html", b'id="latents-data">', *([after] if after else []), digit=False)
    name, what, _ = broken(base)
    assert name == "explorer = tables"
    assert f"{PAIR}/report/report.html holds no data of the latent explorer" in what


def test_a_table_that_the_explorer_alone_reads_is_held_against_it(base: Path) -> None:
    table = base / PAIR / "latents/chat-sae-seed1.descriptions.parquet"
    edit(table, lambda phrases: phrases.with_columns(description=pl.lit("no")))
    *named, more = [item.what for item in explored.check(Study(base / PAIR, Hashes())).breaks]
    assert all("of chat-sae-seed1); the tables give 'no'" in what for what in named)
    assert more.endswith("more values of the explorer are not those of the tables")


def test_prose_flipped_on_the_page_is_seen_by_its_hash_and_taints_no_number(base: Path) -> None:
    flip(base / PAIR / "report/report.html", b"<title>", digit=False)
    name, what, tainted = broken(base)
    assert name == "files = DVC"
    assert f"{PAIR}/report/report.html is not the file that dvc.lock names" in what
    assert not tainted


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
    assert len(found) == len(CHECKS)
    assert {item.name for item in found if item.finding.breaks} >= {
        "files = run.json",
        "files = DVC",
        "files = RO-Crate",
    }
