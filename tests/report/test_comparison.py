"""Several studies on one page: every number as in its own metrics.json, intervals that do not meet, settings."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import NARROW, opened
from playwright.sync_api import Browser
from study_files import Written
from typer.testing import CliRunner

from crossdiff.__main__ import app
from crossdiff.errors import UserError
from crossdiff.provenance.compare import Side, side
from crossdiff.report.comparison import OF_A_DICTIONARY, cell, comparison, rows, settings
from crossdiff.report.figures.studies import studies, values


def made(name: str, **numbers: object) -> Side:
    return Side(name, {"k": 32}, {}, {"pair/run.json": "c0ffee"}, numbers)


@pytest.fixture
def other(planted: Written, tmp_path: Path) -> Path:
    """The made-up study with one dictionary's FVE far off and another seed list."""
    folder = tmp_path / "results" / "another"
    shutil.copytree(planted.root, folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["dictionaries"]["crosscoder-batchtopk"]["fve"]["pooled"] = {"mean": 0.2, "low": 0.1, "high": 0.3, "n": 2}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    record = json.loads((folder / "report/run.json").read_text())
    record["params"] = copy.deepcopy(record["params"]) | {"seeds": [7, 8]}
    (folder / "report/run.json").write_text(json.dumps(record))
    return folder


def test_numbers_settings_and_what_is_apart(planted: Written, other: Path) -> None:
    result = CliRunner().invoke(app, ["compare", str(planted.root), str(other), "--out", str(other / "c.html")])
    assert result.exit_code == 0, result.output
    page = (other / "c.html").read_text()
    block = page.split('id="crosscoder-batchtopk"')[1].split("</section>")[0]
    row = re.search(r"<tr><th scope=\"row\">FVE</th>.*?</tr>", block)
    assert row
    assert "<b>0.200</b>" in row[0]
    assert "0.100–0.300" in row[0]
    assert "apart" in row[0]
    own = planted.metrics["dictionaries"]["crosscoder-batchtopk"]["fve"]["pooled"]["mean"]
    assert f"<b>{own:.3f}</b>" in row[0]
    assert "<code>seeds</code>" in page
    assert "[7, 8]" in page
    assert page.count("apart</td>") == 1


def test_it_opens_everywhere(browser: Browser, planted: Written, other: Path) -> None:
    file = other / "comparison.html"
    file.write_text(comparison([side(str(planted.root), Path()), side(str(other), Path())]))
    with opened(browser, file, size=NARROW) as found:
        assert found.errors == []
        assert found.requests == [file.as_uri()]
        assert found.page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
        barriers = Axe().run(found.page).response["violations"]
        assert barriers == []


def test_a_quantity_that_no_study_has_is_left_out_and_a_missing_one_is_a_dash() -> None:
    key = "/dictionaries/cc/l0"
    found = rows([made("a", **{key: 31.5}), made("b")], OF_A_DICTIONARY, ("dictionaries", "cc"))
    assert [str(row.title) for row in found] == ["L0"]
    assert "31.5" in found[0].cells[0]
    assert "not measured" in found[0].cells[1]
    assert not found[0].apart


def test_the_gap_closed_is_that_of_the_whole_dictionary_as_in_the_report() -> None:
    """A crosscoder's with its bias, a diff-SAE's, and without either the latents alone, in one row."""
    above = "/dictionaries/cc/kl_recovered/all/"
    sides = [
        made("a", **{f"{above}all": 0.3, f"{above}all-with-bias": 0.5}), made("b", **{f"{above}full": 0.7}),
        made("c", **{f"{above}all": 0.1}),
    ]  # fmt: skip
    (found,) = rows(sides, OF_A_DICTIONARY, ("dictionaries", "cc"))
    assert [re.sub("<[^>]*>", "", cell) for cell in found.cells] == ["50 %", "70 %", "10 %"]


def test_an_interval_of_no_width_is_not_shown() -> None:
    assert "ci" not in cell({"mean": 1.0, "low": 1.0, "high": 1.0, "n": 3}, "count")


def test_settings_that_any_study_changes_are_listed_once() -> None:
    sides = [Side(name, {"k": k, "f": 1}, {}, {}, {}) for name, k in (("a", 1), ("b", 2), ("c", 3))]
    assert list(settings(sides)) == [("k", ["1", "2", "3"])]


def test_one_study_or_two_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="at least two"):
        comparison([made("a")])
    with pytest.raises(UserError, match="called the same"):
        comparison([made("a"), made("a")])


def test_the_figure_has_a_row_for_each_dictionary_and_none_for_what_was_not_measured() -> None:
    share = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    closed, called = "kl_recovered/all", "calls/counts/calibrated/chat-specific"
    one = made("one", **{f"/dictionaries/cc/{closed}/all": 0.3, f"/dictionaries/cc/{closed}/all-with-bias": share,
                         f"/dictionaries/cc/{called}": 7, "/pair/kl/kl_recovered/all/template": 0.1})  # fmt: skip
    other = made("other", **{f"/dictionaries/cc/{called}": 9, f"/dictionaries/sae/{called}": 0})
    found = [(row["study"], row["panel"], row["subject"], row["value"], row["high"]) for row in values([one, other])]
    assert found == [
        ("one", "closed", "cc", 0.5, 0.6), ("one", "called", "cc", 7, 7),
        ("one", "closed", "template tokens alone", 0.1, 0.1),
        ("other", "called", "cc", 9, 9), ("other", "called", "sae", 0, 0),
    ]  # fmt: skip
    drawn = studies([one, other], stacked=False)
    assert drawn is not None
    assert all(word in drawn.svg for word in ("share of the KL gap closed", "latents called chat-specific", "other"))
    assert studies([made("a"), made("b")], stacked=False) is None


def test_the_page_shows_the_figure_for_wide_and_narrow_screens(planted: Written, other: Path) -> None:
    page = comparison([side(str(planted.root), Path()), side(str(other), Path())])
    assert [page.count(f'<div class="{width}"><svg') for width in ("wide", "narrow")] == [1, 1]
    assert "<figure>" not in comparison([made("a"), made("b")])
