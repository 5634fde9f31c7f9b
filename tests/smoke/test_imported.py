"""Dictionaries of the miniature study, given away in another package's files and taken back: the same numbers."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crossdiff import dictionaries
from crossdiff.dictionaries.published.registry import write

from .conftest import Tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FORMAT = "science-of-finetuning"
TRAINED = {"theirs": "crosscoder", "turned": "diff-sae"}
"""Which dictionary each imported one was."""


@pytest.fixture(scope="module")
def taken(done: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a copy of the finished study, to which both dictionaries come back; the diff-SAE as of base − chat."""
    tree = Tree(tmp_path_factory.mktemp("imported") / "study", done.tools)
    shutil.copytree(done.root, tree.root, symlinks=True)
    results = tree.root / "results/smoke"
    entries = {}
    for name, was in TRAINED.items():
        dictionary = dictionaries.load(results / f"dictionaries/{was}-seed0")
        write(dictionary.negated() if name == "turned" else dictionary, tree.root / "files" / name, FORMAT)
        entries[name] = {"from": f"files/{name}", "format": FORMAT, "kind": was}
    entries["turned"]["difference"] = "base - chat"
    (tree.root / "import.yaml").write_text(json.dumps({"dictionaries": entries}))
    tree.run("snakemake", "--configfile", "config.yaml", "import.yaml")
    return results


def tables(results: Path, name: str, kind: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A table of an imported dictionary, and that of the dictionary it was."""
    theirs, ours = (results / kind.format(f"{each}-seed0") for each in (name, TRAINED[name]))
    return pl.read_parquet(theirs), pl.read_parquet(ours)


@pytest.mark.parametrize("ending", ["", ".tokens", ".twins", ".template"])
def test_an_imported_crosscoder_has_the_latents_it_had_bit_for_bit(taken: Path, ending: str) -> None:
    assert_frame_equal(*tables(taken, "theirs", f"latents/{{}}{ending}.parquet"), check_exact=True)


def test_an_imported_crosscoder_shows_the_texts_it_had(taken: Path) -> None:
    theirs, ours = tables(taken, "theirs", "examples/{}.parquet")
    both = pl.col("latent").is_in(list(set(theirs["latent"]) & set(ours["latent"])))  # calls, made of the seeds, differ
    assert theirs.filter(both).height > 0
    assert_frame_equal(theirs.filter(both), ours.filter(both), check_exact=True)


def test_an_imported_crosscoder_has_the_evidence_it_had(taken: Path) -> None:
    assert_frame_equal(*tables(taken, "theirs", "evidence/{}/kl.parquet"), check_exact=True)


def test_a_turned_diff_sae_has_the_latents_it_had_to_rounding(taken: Path) -> None:
    """Its two biases became one on the way, so codes differ by rounding."""
    theirs, ours = tables(taken, "turned", "latents/{}.parquet")
    assert theirs["dead"].to_list() == ours["dead"].to_list()
    live = [frame.filter(~pl.col("dead")) for frame in (theirs, ours)]
    for column in ("frequency", "max", "mean", "norm_chat", "beta_chat_activation_chat", "separation_difference"):
        assert_frame_equal(*(frame.select(column) for frame in live), check_exact=False, rel_tol=1e-3, abs_tol=1e-3)
    kl, was = tables(taken, "turned", "evidence/{}/kl.parquet")
    assert_frame_equal(kl, was, check_exact=False, rel_tol=1e-2, abs_tol=1e-3)


def test_the_report_says_where_they_are_from(taken: Path) -> None:
    numbers = json.loads((taken / "metrics.json").read_text())["dictionaries"]
    assert list(numbers["theirs"]["seeds"]) == ["0"]
    assert numbers["theirs"]["fve"] == numbers["crosscoder"]["seeds"]["0"]["fve"]
    page = (taken / "report/report.html").read_text()
    assert "imported from files/theirs" in page
    assert "imported from files/turned" in page
