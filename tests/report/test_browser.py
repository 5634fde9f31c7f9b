"""The page in a real browser: nothing fetched, nothing broken, everything drawn, usable by everyone."""

import io
import json
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import NARROW, WIDE, opened
from PIL import Image
from playwright.sync_api import Browser, expect
from study_files import Written

looks = pytest.mark.parametrize(
    ("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide-light", "narrow-dark"]
)


def pixels(picture: bytes) -> np.ndarray:
    """[height, width, 3] of 8 bits."""
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@looks
def test_it_opens_without_errors_or_requests_and_fits(
    browser: Browser, planted: Written, plain: Written, size: tuple[int, int], scheme: str
) -> None:
    for study in (planted, plain):
        file = study.root / "report/report.html"
        with opened(browser, file, size=size, color_scheme=scheme) as found:
            page = found.page
            expect(page.locator("#rows tr").first).to_be_visible()
            assert found.errors == []
            assert found.requests == [file.as_uri()]
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert page.evaluate("document.documentElement.scrollHeight") > 3 * size[1]
            dark = pixels(page.screenshot()).mean() < 100
            assert dark == (scheme == "dark")


def test_every_figure_is_drawn(browser: Browser, planted: Written) -> None:
    places = """(drawings) => drawings.map((svg) => {
        const box = svg.getBoundingClientRect();
        return [box.left + scrollX, box.top + scrollY, box.right + scrollX, box.bottom + scrollY].map(Math.round);
    })"""
    with opened(browser, planted.root / "report/report.html") as found:
        boxes = found.page.locator("figure svg:visible").evaluate_all(places)
        page = pixels(found.page.screenshot(full_page=True, type="jpeg", quality=90))
    assert len(boxes) >= 20
    for left, top, right, bottom in boxes:
        shot = page[top:bottom, left:right].astype(int)
        assert min(shot.shape[:2]) > 60
        assert 0.005 < (np.abs(shot - shot[0, 0]).sum(-1) > 60).mean() < 0.9, f"the figure at {left}, {top}"


def test_figures_can_be_read_on_a_phone(browser: Browser, planted: Written) -> None:
    sizes = """(drawings) => Object.fromEntries(drawings.map((svg) =>
        [svg.dataset.name, 11 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width]))"""
    with opened(browser, planted.root / "report/report.html", size=NARROW) as found:
        pixels_of = found.page.locator("figure svg:visible").evaluate_all(sizes)
    assert len(pixels_of) >= 20
    assert {name: size for name, size in pixels_of.items() if size < 9.4} == {}


def test_the_first_screen_has_question_answer_and_figure(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        for part in ("h1", ".lead li >> nth=0", "figure.main svg >> visible=true"):
            box = found.page.locator(part).first.bounding_box()
            assert box
            assert box["y"] + min(box["height"], 200) < WIDE[1], part
        assert 1 <= found.page.locator(".lead li").count() <= 3


def test_rows_of_answers_are_cards_on_a_phone(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html", size=NARROW) as found:
        table = found.page.locator("table.behaviours").first
        cells = [cell.bounding_box() for cell in table.locator("tbody tr").first.locator("th, td").all()]
        assert all(one and other and other["y"] >= one["y"] + one["height"] - 1 for one, other in pairwise(cells))
        box = table.bounding_box()
        assert box
        assert box["x"] + box["width"] <= NARROW[0]
        label = table.locator("td").first.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert "held-out prompts" in label


@looks
def test_no_barrier(browser: Browser, planted: Written, size: tuple[int, int], scheme: str) -> None:
    with opened(browser, planted.root / "report/report.html", size=size, color_scheme=scheme) as found:
        found.page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
        violations = Axe().run(found.page).response["violations"]
        barriers = {rule["id"]: [node["html"][:160] for node in rule["nodes"]][:4] for rule in violations}
        assert not barriers, json.dumps(barriers, indent=1)


def test_a_drawing_can_be_taken_from_the_page(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html", color_scheme="dark") as found:
        button = found.page.locator("button[data-drawing='delta-norm-crosscoder-l1']")
        with found.page.expect_download() as download:
            button.click()
        assert download.value.suggested_filename == "delta-norm-crosscoder-l1.svg"
        taken = ElementTree.fromstring(download.value.path().read_text())
        beside = ElementTree.parse(planted.root / "report/figures/delta-norm-crosscoder-l1.svg").getroot()
        assert taken.tag == beside.tag == "{http://www.w3.org/2000/svg}svg"
        assert [part.get("d") for part in taken.iter()] == [part.get("d") for part in beside.iter()]
        with found.page.expect_download() as download:
            found.page.locator("a[download='delta-norm-crosscoder-l1.csv']").click()
        text = (planted.root / "report/figures/delta-norm-crosscoder-l1.csv").read_text()
        assert download.value.path().read_text() == text
        assert found.errors == []


def test_the_keyboard_can_skip_to_the_sections_and_the_latents(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        for name in ("Skip to the sections", "Skip to the latents"):
            page.keyboard.press("Tab")
            expect(page.get_by_role("link", name=name)).to_be_focused()
            expect(page.get_by_role("link", name=name)).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("#explorer h2")).to_be_in_viewport()
