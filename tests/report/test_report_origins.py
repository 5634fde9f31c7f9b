"""The sources noted for each number are those it is made of: a file that is changed moves no number but its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from study_behaviours import BEHAVIOURS
from study_files import edit, make_config, write_study

from crossdiff.errors import UserError
from crossdiff.provenance.origins import leaves
from crossdiff.report.collect import Study, collect
from crossdiff.report.metrics import metrics
from crossdiff.report.origins import origins

NAMES = ("crosscoder-l1", "chat-sae")
LEFT = ("crosscoder-l1-seed1", "chat-sae-seed0")
"""Not changed: of each kind of dictionary one seed is, of either seed one kind."""


def scrambled(path: Path) -> None:
    """Change every number and flag of a result file."""
    if path.suffix == ".json":
        path.write_text(json.dumps(other(json.loads(path.read_text()))))
    else:
        rng = np.random.default_rng(3)
        edit(path, lambda table: table.with_columns([moved(table[name], rng) for name in table.columns]))


def other(tree: Any) -> Any:
    """The tree with other numbers where the report reads some."""
    if isinstance(tree, dict):
        return {key: other(value) for key, value in tree.items()}
    kept = isinstance(tree, bool) or not isinstance(tree, int | float)
    return tree if kept else tree + 3 if isinstance(tree, int) else tree * 0.7 + 0.01


def moved(column: pl.Series, rng: np.random.Generator) -> pl.Series:
    """Other flags and fractions; what names a row stays."""
    if column.dtype == pl.Boolean:
        return column ^ pl.Series(rng.random(len(column)) < 0.5)
    factors = pl.Series(rng.uniform(0.3, 1.7, len(column)))
    return (column * factors).cast(column.dtype) if column.dtype.is_float() else column


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    config = make_config(latents=120, names=NAMES)
    root = write_study(tmp_path_factory.mktemp("study"), config)
    few = pl.col("behaviour").is_in(BEHAVIOURS[:2])  # all numbers are made anew for each of some fifty files
    for file in (*root.glob("evidence/*/*.parquet"), root / "truth/answers.parquet"):
        edit(file, lambda table: table.filter(few) if "behaviour" in table.columns else table)
    return collect(config, root)


def test_a_changed_file_moves_its_own_numbers_and_no_other(study: Study) -> None:
    before = dict(leaves(metrics(study)))
    noted = origins(study, metrics(study))
    files = {source.file for sources in noted.numbers.values() for source in sources}
    assert {file.relative_to(study.root).as_posix() for file in study.files} >= files
    for file in sorted(file for file in files if not any(name in file for name in LEFT)):
        kept = (study.root / file).read_bytes()
        scrambled(study.root / file)
        after = dict(leaves(metrics(collect(study.config, study.root))))
        (study.root / file).write_bytes(kept)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        own = {key for key in before if any(source.file == file for source in noted.of(key))}
        assert changed, file
        assert changed <= own, f"{file} moved {sorted(changed - own)}"


def test_a_number_without_a_source_is_refused(study: Study) -> None:
    with pytest.raises(UserError, match=r"metrics\.json#/novel/number has no source"):
        origins(study, metrics(study) | {"novel": {"number": 1}})


def test_keys_name_columns_and_entries_that_exist(study: Study) -> None:
    for sources in origins(study, metrics(study)).numbers.values():
        for source in sources:
            if source.file.endswith(".parquet"):
                columns = source.key.partition(" where ")[0].split(", ")
                assert set(columns) <= set(pl.read_parquet_schema(study.root / source.file)), source
            else:
                node = json.loads((study.root / source.file).read_text())
                for name in source.key.split("."):
                    node = node[name]
