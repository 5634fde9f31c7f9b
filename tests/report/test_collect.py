"""What is read, and what is not."""

from pathlib import Path

import polars as pl
import pytest
from study_files import edit, make_config, write_study

from crossdiff.errors import UserError
from crossdiff.report.collect import collect


def test_reads_what_the_config_names_and_no_left_over(tmp_path: Path) -> None:
    wide = make_config(names=("diff-sae", "chat-sae"), seeds=(0, 1, 2))
    write_study(tmp_path, wide)
    study = collect(make_config(names=("chat-sae",), seeds=(2, 0)), tmp_path)
    assert study.names == ["chat-sae"]
    assert [run.seed for run in study.dictionaries[0].runs] == [2, 0]
    assert not any("diff-sae" in str(file) or "seed1" in str(file) for file in study.files)
    assert len(study.files) == len(set(study.files))


@pytest.mark.parametrize(
    "file",
    ["pair/pair.json", "examples/chat-sae-seed0.parquet", "evidence/baselines/kl.parquet", "corpus/run.json"],
)
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    config = make_config(names=("chat-sae",), seeds=(0,))
    write_study(tmp_path, config)
    (tmp_path / file).unlink()
    with pytest.raises(UserError, match=file):
        collect(config, tmp_path)


def test_a_table_without_a_column_is_named(tmp_path: Path) -> None:
    config = make_config(names=("chat-sae",), seeds=(0,))
    write_study(tmp_path, config)
    edit(tmp_path / "latents/chat-sae-seed0.parquet", lambda table: table.drop("nu_valid"))
    with pytest.raises(UserError, match=r"latents/chat-sae-seed0\.parquet.*nu_valid"):
        collect(config, tmp_path)


def test_nan_counts_as_not_measured(tmp_path: Path) -> None:
    config = make_config(names=("chat-sae",), seeds=(0,))
    write_study(tmp_path, config)
    edit(tmp_path / "latents/chat-sae-seed0.parquet", lambda t: t.with_columns(nu_activation=pl.lit(float("nan"))))
    latents = collect(config, tmp_path).dictionaries[0].runs[0].latents
    assert latents["nu_activation"].null_count() == latents.height == config.dictionaries["chat-sae"].latents
