"""One flipped byte beside the results is named: config, source, Snakemake's and DVC's records, the crate, MLflow."""

import json
import struct
from pathlib import Path

from crossdiff.provenance.audit import code, configured
from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.audit.taint import tainted

from .audited import all_numbers, broken
from .finished import PAIR, SOURCE, TRACKED, flip, kept_at, put

TABLE = f"{PAIR}/latents/chat-sae-seed0.parquet"
LOCKED = f"path: {PAIR}/latents\n".encode()
OF_SEED_0 = {"/dictionaries/chat-sae/seeds/0/dead", "/dictionaries/chat-sae/dead"}


def test_another_setting_taints_what_was_made_with_it(base: Path) -> None:
    flip(base / "config.yaml", b"resamples: ")
    name, what, numbers = broken(base)
    assert (name, "config.yaml: evidence.resamples" in what) == ("config = run.json", True)
    assert "/dictionaries/chat-sae/kl/all/random" in numbers
    assert "/dictionaries/chat-sae/fve/pooled" not in numbers


def test_a_changed_source_file_taints_what_its_step_made(base: Path) -> None:
    flip(base / SOURCE)
    name, what, numbers = broken(base)
    assert (name, SOURCE in what) == ("code = commit", True)
    assert numbers == all_numbers(base)


def dirty(base: Path, name: str) -> None:
    """Let a step's record tell of changes on top of its commit."""
    record = json.loads((base / PAIR / name).read_text())
    put(base / PAIR / name, record | {"code": record["code"] | {"dirty": True, "changes": "+x = 1"}})


def test_a_report_by_uncommitted_code_is_named_and_taints_every_number(base: Path) -> None:
    dirty(base, "report/run.json")
    name, what, numbers = broken(base)
    assert name == "code = commit"
    assert f"{PAIR}/report/run.json: the step ran with changes on top of commit" in what
    assert numbers == all_numbers(base)


def test_a_step_by_uncommitted_code_taints_what_it_made(base: Path) -> None:
    dirty(base, TRACKED)
    study = Study(base / PAIR, Hashes())
    breaks = code.check(study).breaks
    assert [item.what.partition(":")[0] for item in breaks] == [f"{PAIR}/{TRACKED}"]
    numbers = set(tainted(study, breaks))
    assert {"/dictionaries/chat-sae/fve/pooled", *OF_SEED_0} <= numbers
    assert not {"/dictionaries/chat-sae/seeds/1/dead", "/dictionaries/crosscoder-l1/fve/pooled"} & numbers


def test_a_hash_flipped_in_snakemakes_record_names_the_file_and_what_was_made_of_it(base: Path) -> None:
    flip(base / kept_at("calls/chat-sae.parquet"), f'"{TABLE}": "sha256:'.encode())
    name, what, numbers = broken(base)
    assert name == "files = Snakemake"
    assert what == f"{TABLE} is not the file that Snakemake read when it made {PAIR}/calls/chat-sae.parquet"
    assert numbers >= OF_SEED_0
    assert "/dictionaries/chat-sae/seeds/1/dead" not in numbers


def test_a_record_of_snakemake_that_cannot_be_read_is_named(base: Path) -> None:
    flip(base / kept_at("calls/chat-sae.parquet"), b"{", digit=False)
    assert broken(base) == ("files = Snakemake", f"Snakemake's record of {PAIR}/calls/chat-sae.parquet cannot be read", set())  # fmt: skip  # noqa: E501


def test_a_command_flipped_in_snakemakes_record_is_seen_by_dvc(base: Path) -> None:
    flip(base / kept_at("calls/chat-sae.parquet"), b'"shellcmd": "', digit=False)
    name, what, numbers = broken(base)
    assert name == "files = DVC"
    assert f"{kept_at('calls/chat-sae.parquet')} is not the file that dvc.lock names" in what
    assert not numbers


def test_a_hash_flipped_in_dvc_lock_names_its_folder(base: Path) -> None:
    flip(base / "dvc.lock", LOCKED, b" md5: ")
    name, what, numbers = broken(base)
    assert name == "files = DVC"
    assert f"{PAIR}/latents is not the folder that dvc.lock names" in what
    assert numbers >= OF_SEED_0
    assert "/pair/kl/kl/all/none" not in numbers


def test_a_name_flipped_in_dvc_lock_leaves_a_folder_out(base: Path) -> None:
    flip(base / "dvc.lock", b"path: ", digit=False)
    name, what, numbers = broken(base)
    assert name == "files = DVC"
    assert f"dvc.lock does not name {PAIR}/activations" in what
    assert "/pair/difference_share/overall" in numbers


def test_a_damaged_dvc_lock_is_named(base: Path) -> None:
    flip(base / "dvc.lock", LOCKED, b"hash: md5\n      ", digit=False)  # md5: -> ld5:
    assert broken(base) == ("files = DVC", "dvc.lock cannot be read: KeyError", set())


def test_the_crate_is_named_by_dvc(base: Path) -> None:
    flip(base / PAIR / "ro-crate-metadata.json", b'"sha256": "')
    name, what, numbers = broken(base)
    assert (name, what) == ("files = DVC", f"{PAIR}/ro-crate-metadata.json is not the file that dvc.lock names")
    assert not numbers, "no number is made of the crate"


def test_where_dvc_knows_nothing_the_crate_sees_a_change(base: Path) -> None:
    (base / "dvc.lock").unlink()
    flip(base / PAIR / "report/report.html", b"<title>", digit=False)
    name, what, numbers = broken(base)
    assert name == "files = RO-Crate"
    assert what == f"{PAIR}/report/report.html is not the file that ro-crate-metadata.json describes"
    assert not numbers


def test_a_bit_of_a_metric_in_mlflow_is_named(base: Path) -> None:
    """The lowest one, in the table and in the index, as SQLite reads whichever it likes."""
    shown = json.loads((base / PAIR / TRACKED).read_text())["results"]["fve"]
    number, database = struct.pack(">d", shown), base / "mlflow.db"
    content = database.read_bytes()
    assert content.count(number) == 2
    database.write_bytes(content.replace(number, number[:-1] + bytes([number[-1] ^ 1])))
    name, what, numbers = broken(base)
    assert name == "run.json = MLflow"
    assert f"for fve of {PAIR}/{TRACKED}, which holds {shown}" in what
    assert numbers == {f"/dictionaries/chat-sae/{place}fve/pooled" for place in ("", "seeds/0/")}


def test_a_commit_flipped_in_mlflow_is_named(base: Path) -> None:
    commit = Study(base / PAIR, Hashes()).records[TRACKED]["code"]["commit"]
    flip(base / "mlflow.db", f"crossdiff.commit{commit[:-1]}".encode(), digit=False)
    name, what, _ = broken(base)
    assert name == "run.json = MLflow"
    assert f"for {PAIR}/{TRACKED}, which names {commit}" in what


def test_a_record_of_another_seed_is_named(base: Path) -> None:
    name = "dictionaries/chat-sae-seed1/run.json"
    record = json.loads((base / PAIR / name).read_text())
    put(base / PAIR / name, record | {"params": record["params"] | {"seed": 0}})
    found = configured.check(Study(base / PAIR, Hashes()))
    assert [item.what for item in found.breaks] == [f"{PAIR}/{name} ran with other settings than the report's config"]


def test_calls_that_ran_with_other_settings_are_named(base: Path) -> None:
    name = "calls/chat-sae.run.json"
    record = json.loads((base / PAIR / name).read_text())
    put(base / PAIR / name, record | {"params": record["params"] | {"q": 0.5}})
    (found,) = configured.check(Study(base / PAIR, Hashes())).breaks
    assert found.what.startswith(f"{PAIR}/{name} ran with other settings")
    numbers = tainted(Study(base / PAIR, Hashes()), [found])
    assert [key for key in numbers if key.startswith("/dictionaries/chat-sae/calls/")]
    assert "/dictionaries/chat-sae/fve/pooled" not in numbers
