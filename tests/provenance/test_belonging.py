"""Files of two studies are not taken together; those of one are."""

from pathlib import Path

import pytest

from crossdiff.errors import UserError
from crossdiff.provenance.record import record


@pytest.fixture(autouse=True)
def untracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def made(file: str, content: str, *inputs: str, own: str = "run.json") -> str:
    """A file that a step made of others, with its record."""
    path = Path(file)
    with record("step", path.with_name(own), {}, inputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return file


def study(root: str) -> dict[str, str]:
    """Rows, activations of them, dictionaries of two seeds, and their latents."""
    rows = made(f"{root}/corpus/rows.parquet", f"rows of {root}")
    manifest = made(f"{root}/activations/manifest.json", f"streams of {root}", rows)
    files = {"rows": rows, "manifest": manifest}
    for seed in "01":
        run = f"sae-seed{seed}"
        weights = made(f"{root}/dictionaries/{run}/dictionary.json", f"{run} of {root}", manifest)
        files[f"dictionary{seed}"] = weights
        inputs = (weights, manifest, rows)
        files[f"latents{seed}"] = made(f"{root}/latents/{run}.parquet", weights, *inputs, own=f"{run}.run.json")
    return files


def take(*files: str) -> None:
    with record("next", "next/run.json", {}, files):
        pass


def test_one_study_belongs_together() -> None:
    files = study("a")
    take(*files.values())
    take(files["latents1"], files["dictionary1"], files["manifest"], files["rows"])


@pytest.mark.parametrize(
    ("mine", "other"),
    [("dictionary0", "manifest"), ("latents0", "dictionary0"), ("manifest", "rows"), ("latents0", "rows")],
)
def test_files_of_another_study_are_refused_before_anything_is_done(mine: str, other: str) -> None:
    one, two = study("a"), study("b")
    with pytest.raises(UserError, match=rf"{one[mine]} was not made from {two[other]}, but from another such file"):
        take(one[mine], two[other])
    assert not Path("next/run.json").exists()


def test_latents_of_another_seed_are_refused() -> None:
    files = study("a")
    with pytest.raises(UserError, match=r"latents/sae-seed1\.parquet was not made from a/dictionaries/sae-seed0"):
        take(files["latents1"], files["dictionary0"])


def test_a_file_that_was_made_anew_is_told_from_the_one_that_was_used() -> None:
    files = study("a")
    made(files["manifest"], "other streams", files["rows"])
    with pytest.raises(UserError, match=r"dictionaries/sae-seed0/dictionary\.json was not made from a/activations"):
        take(files["dictionary0"], files["manifest"])


def test_the_null_tune_reads_rows_of_the_pair_and_stands_beside_it() -> None:
    pair, null = (
        made("results/p/pair/pair.json", "base and chat"),
        made("results/p/null/pair/pair.json", "base and null"),
    )
    rows = made("results/p/corpus/rows.parquet", "rows", pair)
    own = made("results/p/activations/manifest.json", "streams", pair, rows)
    on_null = made("results/p/null/activations/manifest.json", "null streams", null, rows, own)
    take(own, on_null, pair, null)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"inputs": []}', '{"inputs": null}'])
def test_without_a_record_nothing_is_said(text: str | None) -> None:
    one, two = study("a"), study("b")
    place = Path("a/dictionaries/sae-seed0/run.json")
    place.unlink() if text is None else place.write_text(text)
    take(one["dictionary0"], two["manifest"])
