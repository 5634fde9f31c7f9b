"""Activations are not taken with models, rows or dictionaries that they were not read from or for."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made import make_dictionary

from crossdiff.activations.fits import check_dictionary, check_source
from crossdiff.errors import UserError
from crossdiff.provenance.files import sha256_file

FILE = Path("manifest.json")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    (tmp_path / "pair.json").write_text(json.dumps({"base": "a", "chat": "b"}))
    return tmp_path / "pair.json"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows.parquet").write_bytes(b"rows")
    return tmp_path / "rows.parquet"


def test_what_belongs_together_is_taken(pair: Path, rows: Path) -> None:
    manifest = {"pair": json.loads(pair.read_text()), "rows_sha256": sha256_file(rows), "D": 6, "layer": 3}
    check_source(FILE, manifest, pair=pair, rows=rows)
    own = make_dictionary("diff-sae")
    check_dictionary(FILE, manifest, Path("d"), own)
    check_dictionary(FILE, manifest, Path("d"), replace(own, about={"layer": 3, "pair": manifest["pair"]}))


def test_other_models_and_rows_are_refused(pair: Path, rows: Path) -> None:
    with pytest.raises(UserError, match=r"^manifest\.json was not read from the models of .*pair\.json: give what"):
        check_source(FILE, {"pair": {"base": "a", "chat": "other"}}, pair=pair)
    with pytest.raises(UserError, match=r"^manifest\.json was not read from .*rows\.parquet, but from other rows"):
        check_source(FILE, {"rows_sha256": "0" * 64}, pair=pair, rows=rows)


@pytest.mark.parametrize(
    ("manifest", "about", "said"),
    [
        ({"D": 7}, {}, "^d: it reads streams of width 6, .* have 7"),
        ({"D": 6, "layer": 2}, {"layer": 3}, "^d: it reads block 3, but manifest.json is of block 2"),
        ({"D": 6, "pair": {"base": "a"}}, {"pair": {"base": "b"}}, "^d was not trained on the models of manifest.json"),
    ],
)
def test_dictionaries_of_another_site_or_pair_are_refused(manifest: dict, about: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_dictionary(FILE, manifest, Path("d"), replace(make_dictionary("diff-sae"), about=about))
