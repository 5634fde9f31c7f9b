"""Tables are read, or told apart from what is none."""

from pathlib import Path

import polars as pl
import pytest

from crossdiff.errors import UserError
from crossdiff.tables import read_table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pl.DataFrame({"row": [1, 2], "ids": [[3], [4, 5]]}).write_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_all_columns_or_those_needed(file: Path) -> None:
    assert read_table(file).columns == ["row", "ids"]
    assert read_table(file, ["ids"]).columns == ["row", "ids"]
    assert read_table(file, ["ids"], others=False)["ids"].to_list() == [[3], [4, 5]]


def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    pl.DataFrame({"row": [1]}).write_parquet(tmp_path / "a[1]*.parquet")
    assert read_table(tmp_path / "a[1]*.parquet")["row"].to_list() == [1]


def test_what_cannot_be_read_is_told(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no table .*gone\.parquet"):
        read_table(tmp_path / "gone.parquet")
    with pytest.raises(UserError, match=r"t\.parquet has no column roles, use: it is another table"):
        read_table(file, ["row", "roles", "use"])
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"t\.parquet cannot be read as a table"):
        read_table(file)
    file.write_bytes(b"")
    with pytest.raises(UserError, match=r"t\.parquet cannot be read as a table"):
        read_table(file)
