"""`crossdiff export`: what leaves can be read by others, and holds the numbers it was made from."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from made import make_dictionary, make_pairs

from crossdiff import export
from crossdiff.attribution import neuronpedia
from crossdiff.attribution.directions import contribution
from crossdiff.dictionaries import save
from crossdiff.dictionaries.published.registry import weights
from crossdiff.errors import UserError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The latent table of an 11-latent diff-SAE, with a dead latent and two examples of latent 3."""
    own = make_dictionary("diff-sae")
    own.about.update({"name": "diff-sae", "layer": 14})
    save(own, tmp_path / "dictionaries/diff-sae-seed0")
    file = tmp_path / "latents/diff-sae-seed0.parquet"
    file.parent.mkdir()
    numbers = list(range(11))
    latents = {
        "latent": pl.Series(numbers, dtype=pl.UInt32),
        "dead": [j == 0 for j in numbers],
        "max": [float(j) for j in numbers],
    }
    pl.DataFrame(
        {"latent": [3], "description": ["fires on 'a'"]}, schema_overrides={"latent": pl.UInt32}
    ).write_parquet(file.with_name("diff-sae-seed0.descriptions.parquet"))
    pl.DataFrame(latents | {"frequency": [j / 20 for j in numbers], "nu_error": [None] * 11}).write_parquet(file)
    examples = {"latent": [3, 3], "rank": [0, 1], "row": [7, 9], "source": ["chat", "web"]}
    examples |= {"tokens": [["<b>", " a"], [" ü", "c"]], "activations": [[None, 3.0], [2.0, 0.0]]}
    (tmp_path / "examples").mkdir()
    pl.DataFrame(examples).write_parquet(tmp_path / "examples/diff-sae-seed0.parquet")
    promoted = {"latent": [3] * 4, "model": ["base", *["chat"] * 3], "rank": [0, 0, 1, 0]}
    promoted |= {"side": [*["promoted"] * 3, "suppressed"], "token": ["no", " is", " was", "the"]}
    pl.DataFrame(promoted | {"logit": [9.0, 3.0, 2.0, -1.5]}).write_parquet(
        file.with_name("diff-sae-seed0.tokens.parquet")
    )
    file.with_name("diff-sae-seed0.run.json").write_text(json.dumps({"started": "2026-11-22T13:00:00+00:00"}))
    return file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]


def test_latents_in_the_layout_of_neuronpedia(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neuronpedia, "BATCH", 4)
    export.neuronpedia(table, tmp_path / "out", "gemma-2-2b-it", "diff-11", "me")
    root = tmp_path / "out/v1/gemma-2-2b-it/14-diff-11"
    features = [row for batch in range(3) for row in lines(root / f"features/batch-{batch}.jsonl.gz")]
    assert [row["index"] for row in features] == [str(number) for number in range(11)]
    assert [len(lines(root / f"features/batch-{batch}.jsonl.gz")) for batch in range(3)] == [4, 4, 3]
    assert (features[5]["maxActApprox"], features[5]["frac_nonzero"]) == (5.0, 0.25)
    assert features[5]["vector"] == contribution(make_dictionary("diff-sae"))[5].tolist()
    assert {(row["layer"], row["sourceSetName"]) for row in features} == {("14-diff-11", "diff-11")}
    assert (features[3]["pos_str"], features[3]["pos_values"]) == ([" is", " was"], [3.0, 2.0])
    assert (features[3]["neg_str"], features[3]["neg_values"], features[4]["pos_str"]) == (["the"], [-1.5], [])
    assert [len(lines(root / f"activations/batch-{batch}.jsonl.gz")) for batch in range(3)] == [2, 0, 0]
    first, second = lines(root / "activations/batch-0.jsonl.gz")
    assert (first["values"], first["maxValue"], first["maxValueTokenIndex"]) == ([0.0, 3.0], 3.0, 1)
    assert (second["tokens"], second["dataSource"], second["index"]) == ([" ü", "c"], "web", "3")
    assert first["id"] != second["id"]
    (explained,) = lines(root / "explanations/batch-0.jsonl.gz")
    assert (explained["index"], explained["description"]) == ("3", "fires on 'a'")
    assert (explained["layer"], explained["explanationModelName"]) == ("14-diff-11", None)
    for name, key in (("model", "id"), ("release", "name"), ("source", "id"), ("sourceset", "name")):
        assert json.loads((root / f"{name}.jsonl").read_text())[key]


def test_latents_as_csv(table: Path, tmp_path: Path) -> None:
    export.csv(table, tmp_path / "latents.csv")
    rows = list(csv.DictReader((tmp_path / "latents.csv").open()))
    assert (rows[3]["description"], rows[4]["description"]) == ("fires on 'a'", "")
    assert (len(rows), rows[5]["frequency"], rows[5]["nu_error"], rows[0]["dead"]) == (11, "0.25", "", "true")


def test_a_dictionary_in_the_files_of_another_package(table: Path, tmp_path: Path) -> None:
    export.dictionary(tmp_path / "dictionaries/diff-sae-seed0", "saelens", tmp_path / "out")
    format_, file = weights(tmp_path / "out", None)
    x, own = make_pairs(30), make_dictionary("diff-sae")
    theirs = format_.read(file, "diff-sae")
    assert (theirs.encode(own.read(x)) - own.encode(own.read(x))).abs().max() < 1e-4
    assert theirs.about["published"]["hook"] == "blocks.14.hook_resid_post"


def test_what_is_no_latent_table_is_told(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no table .*gone\.parquet"):
        export.csv(tmp_path / "gone.parquet", tmp_path / "x.csv")
    (tmp_path / "words.parquet").write_text("words")
    with pytest.raises(UserError, match=r"words\.parquet cannot be read as a table"):
        export.csv(tmp_path / "words.parquet", tmp_path / "x.csv")
    save(make_dictionary("diff-sae", latents=12), tmp_path / "dictionaries/diff-sae-seed0")
    with pytest.raises(UserError, match="has 11 latents, but its dictionary 12"):
        export.neuronpedia(table, tmp_path / "out", "m", "s", "me")


def test_where_it_cannot_be_written_is_told(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--out .*: this is a folder; give the name of a file, such as .*\.csv$"):
        export.csv(table, tmp_path)


@pytest.mark.parametrize("model", ["", "../../x", ".."])
def test_names_that_lead_out_of_the_folder_are_refused(table: Path, tmp_path: Path, model: str) -> None:
    with pytest.raises(UserError, match=r"^--model .*give an id without /"):
        export.neuronpedia(table, tmp_path / "out", model, "chat-diff", "me")
    assert not (tmp_path / "out").exists()
