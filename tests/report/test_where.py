"""Where a number or a figure is from: told on focus, of every one, and true."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest
from browser import opened
from playwright.sync_api import Browser, expect
from study_files import Written

from crossdiff.provenance import addresses
from crossdiff.provenance.chain import within
from crossdiff.provenance.record import code


def test_a_number_names_its_files_run_and_command(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        number = page.locator('#dictionaries [data-src="metrics.json#/dictionaries/diff-sae/l0"]')
        number.focus()
        box = page.get_by_role("tooltip")
        for text in ("dictionaries/diff-sae-seed0/run.json", "results.l0", "run ffffffff", "commit c0ffee"):
            expect(box).to_contain_text(text)
        expect(box).to_contain_text("crossdiff explain 'results/made-up/metrics.json#/dictionaries/diff-sae/l0'")
        expect(box).to_contain_text("in the study's folder")
        exact = planted.metrics["dictionaries"]["diff-sae"]["l0"]["mean"]
        expect(box).to_contain_text(f"{number.locator('b').text_content()} · {exact:.6g} in the file · 95 % interval")
        expect(box).to_contain_text(re.compile(r"seed 0: \d.* · seed 1: \d"))
        expect(box).to_contain_text(f"page byreport/run.json · commit {code()['commit'][:10]}")
        expect(number).to_have_attribute("aria-describedby", "where")
        page.keyboard.press("Escape")
        expect(box).to_be_hidden()
        page.locator("#latent [data-src^=latents]").first.hover()
        expect(box).to_contain_text(re.compile(r"latents/.*parquet latent=\d+"))
        expect(box).to_contain_text(
            re.compile(r"crossdiff explain 'results/made-up/latents/.*parquet#latent=\d+&column=")
        )
        assert found.errors == []


def test_a_table_is_one_stop_of_the_tab_key_and_arrows_go_through_it(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        table = found.page.locator("#dictionaries table").first
        numbers = table.locator("[data-src][tabindex]")
        assert numbers.count() > 10
        expect(table.locator("[data-src][tabindex='0']")).to_have_count(1)
        numbers.first.focus()
        for key, wanted in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowUp", 1)):
            found.page.keyboard.press(key)
            expect(numbers.nth(wanted)).to_be_focused()
        found.page.keyboard.press("ArrowDown")
        below = found.page.evaluate("document.activeElement.closest('tr').rowIndex")
        assert below == numbers.nth(1).evaluate("number => number.closest('tr').rowIndex") + 1
        expect(table.locator("[data-src][tabindex='0']")).to_have_count(1)
        expect(found.page.get_by_role("tooltip")).to_contain_text("crossdiff explain")
        assert found.errors == []


def test_a_figure_names_its_tables_runs_and_command(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        box = found.page.get_by_role("tooltip")
        for place, name, file in (
            ("header", "kl-recovered", "evidence/diff-sae-seed1/kl.parquet kl, tokens"),
            ("#cause", "kl-all", "evidence/baselines/kl.parquet kl, tokens"),
            ("#seeds", "seeds-fve-pooled", "dictionaries/chat-sae-seed0/run.json results.fve"),
        ):
            found.page.locator(f"{place} .source[data-figure]").first.focus()
            for text in (f"figures/{name}.vl.json", file, "run ffffffff", "commit c0ffee"):
                expect(box).to_contain_text(text)
            expect(box).to_contain_text(f"crossdiff explain 'results/made-up/report/figures/{name}.vl.json'")
        found.page.locator("#latents figcaption [data-src]").first.focus()
        expect(box).to_contain_text(re.compile(r"number.*#/usermeta/counts/.*value\d+made oflatents/.*parquet dead, "))


def known(study: Written) -> dict[str, Any]:
    """What the page's script knows."""
    found = re.search(r'id="where-data">(.*?)</script>', study.page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_what_is_made_of_whole_files_names_them(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        page.get_by_label("Used for").select_option("french-animals")
        page.locator("#rows tr a").first.click()
        part = page.locator("#latent [data-files]").first
        part.hover()
        files = (part.get_attribute("data-files") or "").split()
        told = page.locator("#where")
        expect(told).to_be_visible()
        assert len(files) > 1
        for file in files:
            expect(told).to_contain_text(file)
        expect(told).to_contain_text(f"/{files[0]}' in the study's folder")
        expect(told).to_contain_text("/run.json")
        expect(told).not_to_contain_text("figures/")


def test_every_number_has_files_and_these_a_run(planted: Written) -> None:
    told = known(planted)
    for pointer in re.findall(r'data-src="metrics\.json#([^"]+)"', planted.page):
        above = [pointer[:end] for end in range(len(pointer), 0, -1)]
        inside = [key for key in told["numbers"] if key.startswith(f"{pointer}/")]
        noted = next((part for part in above if part in told["numbers"]), inside[0] if inside else None)
        assert noted, pointer
        assert all(told["records"][file] in told["steps"] for file, _ in told["numbers"][noted])


def test_every_figure_has_tables_with_those_columns_and_a_run(planted: Written, plain: Written) -> None:
    for study in (planted, plain):
        told, on_page = known(study), set(re.findall(r'data-figure="([^"]+)"', study.page))
        assert on_page == set(told["figures"]) - {"kl-recovered-narrow"}
        assert on_page | {"kl-recovered-narrow"} == {
            path.name.removesuffix(".vl.json") for path in (study.root / "report/figures").glob("*.vl.json")
        }
        for name, sources in told["figures"].items():
            assert sources, name
            for file, key in sources:
                assert told["steps"][told["records"][file]]["run"], (name, file)
                if file.endswith(".parquet"):
                    columns = key.partition(" where ")[0].split(", ")
                    assert set(columns) <= set(pl.read_parquet_schema(study.root / file)), (name, file, key)
                else:
                    assert key, (name, file)


@dataclass
class Cell:
    """A cell of a table, a point of the answer or a figure's caption."""

    kind: str
    bare: str = ""
    """Its text outside of what has an address."""
    addressed: list[tuple[str, str]] = field(default_factory=list)
    """(address, text) of the rest."""


class Cells(HTMLParser):
    """Collects the cells of the sections that show results, the answer's points and the captions."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[Cell] = []
        self._open: list[tuple[dict[str, str | None], Cell | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"meta", "br", "input"}:
            return
        given = dict(attrs)
        cell = self._open[-1][1] if self._open else None
        if kind := self._kind(tag, given):
            cell = Cell(kind)
            self.cells.append(cell)
        if cell and "data-src" in given:
            cell.addressed.append((given["data-src"] or "", ""))
        self._open.append((given, cell))

    def _kind(self, tag: str, given: dict[str, str | None]) -> str | None:
        inside = {str(each.get(name)) for each, _ in self._open for name in ("id", "class")}
        classes = set((given.get("class") or "").split())
        if tag == "td" and not classes & {"answer", "mono", "published"} and not inside & {"made", "explorer"}:
            return "cell"
        return "caption" if tag == "figcaption" else "answer" if tag == "li" and "lead" in inside else None

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        cell = self._open[-1][1] if self._open else None
        if cell is None:
            return
        if any("data-src" in given for given, _ in self._open):
            address, text = cell.addressed[-1]
            cell.addressed[-1] = (address, text + data)
        else:
            cell.bare += data


NUMBER = re.compile(r"(?<![\w.=:/-])\d")
"""A number, not a digit in the name of a dictionary or a model."""
THRESHOLDS = re.compile(r"[<>] 0\.\d")
"""Those of the literature, which are no results."""


def test_no_number_of_a_table_or_of_the_answer_is_without_an_address(planted: Written, plain: Written) -> None:
    for study in (planted, plain):
        cells = Cells(study.page).cells
        results = [cell for cell in cells if cell.kind != "caption"]
        assert [cell for cell in results if NUMBER.search(THRESHOLDS.sub("", cell.bare))] == []
        for kind, least in (("cell", 100), ("answer", 2)):
            assert sum(bool(cell.addressed) for cell in cells if cell.kind == kind) >= least
    rates = [
        at for cell in Cells(planted.page).cells for at, _ in cell.addressed if at.startswith("metrics.json#/calib")
    ]
    assert len(rates) > 3 * len(planted.metrics["calibration"])


def test_addresses_outside_of_metrics_lead_to_what_is_shown(planted: Written) -> None:
    counts = rates = 0
    for address, text in (pair for cell in Cells(planted.page).cells for pair in cell.addressed):
        file, key = addresses.split(address)
        if file == "metrics.json":
            continue  # other tests hold it to the page
        _, values = within(planted.root / file, key)
        assert values, address
        if file == "report/run.json" and text.endswith(" %"):
            assert float(text.removesuffix(" %")) / 100 == pytest.approx(values[0][1])
            rates += 1
        if addresses.figure_of(file):
            assert f"{values[0][1]:,}" == text
            counts += 1
    assert counts > 10
    assert rates


def test_the_page_tells_the_code_and_machine_that_wrote_it(planted: Written) -> None:
    made = planted.page.partition('<section id="made">')[2]
    own = code()
    assert f"commit <code>{own['commit']}</code>" in made
    assert ("with uncommitted changes" in made) == own["dirty"]
    assert '<th scope="row" title="report/run.json">report</th>' in made
    assert "is not known while it is being written: <code>report/run.json</code>" in made
