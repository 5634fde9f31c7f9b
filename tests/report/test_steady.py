"""Latents that ν names in every seed as one."""

from dataclasses import dataclass
from types import SimpleNamespace

import polars as pl
import pytest

from crossdiff.report.candidates import beyond_chance
from crossdiff.report.numbers import Numbers
from crossdiff.report.steady import steady


@dataclass
class Run:
    """One seed."""

    seed: int
    latents: pl.DataFrame


@dataclass
class Item:
    """A dictionary of some seeds."""

    runs: list[Run]
    two_sided: bool = False


def run(seed: int, groups: list[int | None], nu: list[float]) -> Run:
    return Run(seed, pl.DataFrame({
        "latent": list(range(len(nu))), "group": pl.Series(groups, dtype=pl.Int64), "nu_activation": nu,
        "nu_valid": [True] * len(nu), "dead": [False] * len(nu),
    }))  # fmt: skip


def test_a_group_must_be_named_in_every_seed_and_once_in_each() -> None:
    first = run(0, [7, 8, 9, 5, None], [0.2, 0.1, 0.1, 0.1, 0.0])
    second = run(3, [9, 7, 8, 5, 5], [0.05, 0.1, 0.5, 0.1, 0.1])
    # 9 is lower than 7; 8 is not named in the second seed; 5 is two latents of it; no group is none.
    assert steady(Item([first, second])) == [{0: 2, 3: 0}, {0: 0, 3: 1}]  # type: ignore[arg-type]


def test_one_seed_or_no_groups_have_none() -> None:
    one = run(0, [1], [0.0])
    assert steady(Item([one])) == []  # type: ignore[arg-type]
    assert steady(Item([Run(0, one.latents.drop("group")), one])) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stability", "expected"),
    [
        ({}, False),  # one seed, or a dictionary whose sets are not asked
        ({"nu_0.3": {"in_all": 1, "in_all_chance": {"mean": 0.1, "low": 0, "high": 1, "n": 9}}}, False),
        ({"nu_0.3": {"in_all": 2, "in_all_chance": {"mean": 0.1, "low": 0, "high": 1, "n": 9}}}, True),
        ({"nu_pair": {"in_all": 2, "in_all_chance": {"mean": 0.1, "low": 0, "high": 1, "n": 9}}}, False),
    ],
)
def test_what_every_seed_names_is_told_where_it_is_more_than_chance(stability: dict, expected: bool) -> None:
    numbers = Numbers({"dictionaries": {"sae": {"calls": {"stability": stability}}}})
    item = SimpleNamespace(name="sae", two_sided=False)
    assert beyond_chance(numbers, item) is expected  # type: ignore[arg-type]
