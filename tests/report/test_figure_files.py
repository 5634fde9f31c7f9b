"""A figure's files: the table holds what is drawn, and the page offers it."""

import io
import json
import re
from html import unescape
from urllib.parse import unquote

import altair as alt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_files import Written

from crossdiff.report.figures.files import LARGEST, data_uri, layers, table
from crossdiff.report.figures.theme import Figure, data

NUMBERS = st.lists(st.floats(-1e6, 1e6, allow_nan=False, width=32), min_size=1, max_size=9)


def figure(chart: alt.TopLevelMixin) -> Figure:
    return Figure(name="made", title="Made", chart=chart, text="Made.", files=())


def bars(rows: list[dict[str, object]], name: str | None = None) -> alt.Chart:
    return alt.Chart(data(rows, name)).mark_bar().encode(x="x:Q")


@given(NUMBERS)
def test_one_set_of_rows_is_the_table(values: list[float]) -> None:
    found = table(figure(bars([{"x": value, "kind": "a, b"} for value in values])))
    assert found.columns == ["x", "kind"]
    assert found["x"].to_list() == pytest.approx(values, rel=1e-5)


@given(NUMBERS, NUMBERS)
def test_several_sets_are_told_apart(one: list[float], other: list[float]) -> None:
    layered = alt.layer(bars([{"x": value} for value in one], "one"), bars([{"y": value} for value in other]))
    found = table(figure(alt.hconcat(layered, bars([{"x": value} for value in one], "third"))))
    assert found["layer"].unique(maintain_order=True).to_list() == ["one", "2", "third"]
    assert found.filter(layer="one")["x"].to_list() == found.filter(layer="third")["x"].to_list()
    assert found.filter(layer="one")["y"].null_count() == len(one)


def test_rows_that_several_layers_share_are_there_once() -> None:
    base = bars([{"x": 1.0}, {"x": 2}])
    faceted = alt.layer(base.mark_rule(), base.mark_point(), data=data([{"x": 3, "g": "a"}])).facet(row="g:N")
    assert len(layers(figure(alt.layer(base.mark_rule(), base.mark_point())).spec)) == 1
    assert 3 in [row["x"] for rows in layers(figure(faceted).spec).values() for row in rows]


def test_what_is_long_is_not_put_into_a_link() -> None:
    assert data_uri(figure(bars([{"x": 1}]))) == "data:text/csv;charset=utf-8,x%0A1%0A"
    assert data_uri(figure(bars([{"x": value} for value in range(LARGEST)]))) is None


def test_the_page_offers_each_table_as_it_lies_beside_it(planted: Written) -> None:
    folder = planted.root / "report/figures"
    offered = re.findall(r'<a download="([\w.-]+)\.csv" href="data:text/csv;charset=utf-8,([^"]+)"', planted.page)
    assert len(offered) > 10
    for name, text in offered:
        assert unquote(unescape(text)) == (folder / f"{name}.csv").read_text()
    named = set(re.findall(r"data <code>figures/([\w-]+)\.csv", planted.page))
    stems = {path.stem for path in folder.glob("*.csv")}
    assert named | {name for name, _ in offered} == stems - {"kl-recovered-narrow"}


def test_every_table_has_the_rows_of_its_specification(planted: Written) -> None:
    for path in (planted.root / "report/figures").glob("*.vl.json"):
        sets = layers(json.loads(path.read_text()))
        text = path.with_name(path.name.replace(".vl.json", ".csv")).read_text()
        assert pl.read_csv(io.StringIO(text), infer_schema_length=None).height == sum(map(len, sets.values())), path
