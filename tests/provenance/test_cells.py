"""Cells are found by the values of columns, in either form of a key; what is not there is told."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.errors import UserError
from crossdiff.provenance.cells import cells, parse

TABLE = pl.DataFrame(
    {
        "latent": pl.Series([1, 2, 3, 3], dtype=pl.UInt32), "scale": pl.Series([0.1, 0.2, 0.1, 0.2], dtype=pl.Float32),
        "dead": [True, False, False, True], "behaviour": ["a & b", "x = y", "z", "z"], "nu": [0.5, 0.25, None, 0.75],
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells") / "t.parquet"
    TABLE.write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("latent=2&column=nu", [(0.25,)]),
        ("latent=3&scale=0.1&column=nu", [(None,)]),
        ("latent=3&column=dead", [(False,), (True,)]),
        ("dead=true&column=latent", [(1,), (3,)]),
        ("behaviour=a%20%26%20b&column=latent", [(1,)]),
        ("latent=1", [tuple(TABLE.row(0))]),
        ("nu, dead where behaviour = x = y", [(0.25, False)]),
        ("latent", [(1,), (2,), (3,), (3,)]),
    ],
)
def test_cells_by_key(file: Path, key: str, values: list[tuple[object, ...]]) -> None:
    assert cells(file, key).rows() == pytest.approx(values)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(), min_size=1), st.sampled_from(["d", "e"]))
def test_the_page_s_keys_are_read_back(rows: dict[str, int], column: str) -> None:
    found = parse("&".join([*(f"{name}={value}" for name, value in rows.items()), f"column={column}"]))
    assert (found.rows, found.columns) == ({name: str(value) for name, value in rows.items()}, (column,))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("novel=1&column=nu", "has no column novel; it has latent, scale"),
        ("latent=9&column=nu", "has no row where latent = 9"),
        ("latent=-1&column=nu", "has no row where latent = -1"),
        ("latent=0.5&column=nu", "has no row where latent = 0.5"),
        ("latent=x&column=nu", "latent is a column of numbers"),
    ],
)
def test_what_is_not_there_is_told(file: Path, key: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        cells(file, key)


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("no table")
    with pytest.raises(UserError, match="is no parquet file, or damaged"):
        cells(tmp_path / "t.parquet", "latent=1")
