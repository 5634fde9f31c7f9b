"""Sources of numbers: the nearest pointer wins, names with dots and slashes are found, files know their record."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.errors import UserError
from crossdiff.provenance import origins
from crossdiff.provenance.origins import Origins, Source, on_null

TREE = {"a": {"b_0.3": {"mean": 1, "low": 0, "high": 2, "n": 3}, "c/d~": 4}, "e": 5}


def test_the_nearest_pointer_above_a_number_wins() -> None:
    found = Origins({"/a": (Source("x", "1"),), "/a/b_0.3": (Source("y", "2"),)})
    assert found.of("/a/b_0.3/mean") == (Source("y", "2"),)
    assert found.of("/a/c~1d~0") == (Source("x", "1"),)
    assert found.of("/ab") == ()
    assert found.without(TREE) == ["/e"]


def test_written_and_read_are_equal_and_other_formats_are_refused(tmp_path: Path) -> None:
    found = Origins({"/a": (Source("x.json", "k"), Source("y.parquet", "kl, tokens"))})
    found.write(tmp_path / "origins.json")
    assert origins.read(tmp_path / "origins.json") == found
    (tmp_path / "origins.json").write_text(json.dumps({"format": 99, "numbers": {}}))
    with pytest.raises(UserError, match="write the report again"):
        origins.read(tmp_path / "origins.json")


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_a_pointer_gives_its_names_back(path: list[str]) -> None:
    assert origins.names(origins.pointer(*path)) == path


@pytest.mark.parametrize(("key", "value"), [("a.b_0.3.mean", 1), ("a.c/d~", 4), ("/a/c~1d~0", 4), ("/e", 5), ("e", 5)])
def test_a_number_is_found_by_dots_and_by_pointer(key: str, value: int) -> None:
    at, found = origins.found(TREE, key)
    assert found == value
    assert origins.found(TREE, at) == (at, value)


def test_an_unknown_number_names_what_is_there() -> None:
    with pytest.raises(UserError, match=r"no number a\.zz; it has b_0\.3, c/d~"):
        origins.found(TREE, "a.zz")


def test_leaves_keep_intervals_whole() -> None:
    assert [at for at, _ in origins.leaves(TREE)] == ["/a/b_0.3", "/a/c~1d~0", "/e"]


@pytest.mark.parametrize(
    ("file", "record"),
    [
        ("examples/diff-sae-seed0.parquet", "examples/diff-sae-seed0.run.json"),
        ("latents/diff-sae-seed0.twins.parquet", "latents/diff-sae-seed0.run.json"),
        ("latents/diff-sae-seed0.parquet", "latents/diff-sae-seed0.run.json"),
        ("dictionaries/x-seed1/training.parquet", "dictionaries/x-seed1/run.json"),
        ("models/chat/tokenizer.json", "models/chat/run.json"),
        ("models/base.gguf", "models/base/run.json"),
        ("activations/shard-00001.safetensors", "activations/run.json"),
        ("metrics.json", "report/run.json"),
        ("report/figures/a.svg", "report/run.json"),
        ("truth/run.json", "truth/run.json"),
        ("truth/answers.parquet", "truth/run.json"),
        ("truth/synthetic/diff-sae/scores.parquet", "truth/synthetic/diff-sae/run.json"),
        ("calls/diff-sae.parquet", "calls/diff-sae.run.json"),
    ],
)
def test_a_file_knows_the_record_of_its_step(file: str, record: str) -> None:
    assert origins.record_of(file) == record


def test_the_command_forces_each_step_once() -> None:
    sources = [Source("latents/a-seed0.parquet", "dead"), Source("latents/a-seed0.twins.parquet", "kind")]
    assert origins.recompute("results/p", sources) == (
        "snakemake results/p/metrics.json --forcerun results/p/latents/a-seed0.run.json"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("results/p/null/latents/a-seed0.parquet", True),
        ("/home/me/null/results/p/null/pair/run.json", True),
        ("/home/me/null/results/p/pair/run.json", False),
        ("results/null/pair/run.json", False),
        ("null/pair/run.json", False),
        ("results/p/latents/null.parquet", False),
    ],
)
def test_only_a_folder_of_that_name_in_a_study_is_the_null_tunes(path: str, expected: bool) -> None:
    assert on_null(Path(path)) == expected
