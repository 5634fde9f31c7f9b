"""Addresses lead through lists, stand for the sources of all they match, and name a figure by any of its files."""

import pytest

from crossdiff.errors import UserError
from crossdiff.provenance import addresses
from crossdiff.provenance.origins import Origins, Source

LEAF = {"mean": 1.0, "low": 0.0, "high": 2.0, "n": 3}
TREE = {"of": {"a": {"kl": LEAF, "l0": 2}, "b": {"kl": 3}}, "rows": [{"rate": 0.5}, {"rate": LEAF}]}
NOTED = Origins(
    {
        "/of/a": (Source("a.parquet", "kl"),),
        "/of/a/l0": (Source("a/run.json", "results.l0"),),
        "/of/b": (Source("b.parquet", "kl"), Source("a.parquet", "kl")),
        "/rows": (Source("rows.json", "all"),),
    }
)


@pytest.mark.parametrize(("key", "value"), [("/rows/0/rate", 0.5), ("rows.1.rate", LEAF), ("/of/a/kl/n", 3)])
def test_a_key_leads_through_lists_and_into_intervals(key: str, value: object) -> None:
    pointer, found = addresses.found(addresses.opened(TREE), key, "x.json")
    assert found == value
    assert addresses.found(addresses.opened(TREE), pointer, "x.json") == (pointer, value)


def test_a_key_that_is_not_there_names_file_and_neighbours() -> None:
    with pytest.raises(UserError, match=r"x\.json has nothing at /rows/2/rate; it has 0, 1"):
        addresses.found(addresses.opened(TREE), "/rows/2/rate", "x.json")


@pytest.mark.parametrize(
    ("pattern", "pointers"),
    [
        ("/of/*/kl", ["/of/a/kl", "/of/b/kl"]),
        ("/of/a", ["/of/a/kl", "/of/a/l0"]),
        ("/*/a/l0", ["/of/a/l0"]),
        ("/of/c", []),
        ("/of/a/kl/mean", []),
    ],
)
def test_a_star_stands_for_any_name(pattern: str, pointers: list[str]) -> None:
    assert list(addresses.below(TREE, pattern)) == pointers


def test_numbers_stand_for_their_sources_once_and_tables_for_themselves() -> None:
    asked = ["metrics.json#/of/*/kl", addresses.of_columns("latents/x.parquet", "dead", "nu_error")]
    assert addresses.sources(asked, TREE, NOTED) == (
        Source("a.parquet", "kl"),
        Source("b.parquet", "kl"),
        Source("latents/x.parquet", "dead, nu_error"),
    )


@pytest.mark.parametrize("ending", ["svg", "csv", "vl.json", "png"])
def test_every_form_of_a_figure_is_known(ending: str) -> None:
    assert addresses.figure_of(f"report/figures/kl-all.{ending}") == addresses.specification("kl-all")
    assert addresses.figure_of(f"report/kl-all.{ending}") is None
