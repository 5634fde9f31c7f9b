"""The page in a real browser: nothing fetched, nothing broken, everything drawn, usable by everyone."""

import io
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import NARROW, WIDE, chromium, opened
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from study_files import Written

pytestmark = pytest.mark.xdist_group("browser")
looks = pytest.mark.parametrize(
    ("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide-light", "narrow-dark"]
)
LATENT = re.compile(r"latent=(.+)/(\d+)/(\d+)$")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with chromium() as found:
        yield found


def open_first(page: Page) -> None:
    """Choose the first row, and wait until the page has shown it: only then does the focus go to the latent."""
    page.locator("#rows tr a").first.click()
    expect(page.locator("#latent")).to_be_focused()


def pixels(png: bytes) -> np.ndarray:
    """[height, width, 3] of 8 bits."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


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
            shot = pixels(page.screenshot(full_page=True))
            assert shot.shape[0] > 3 * size[1]
            dark = shot.mean() < 100
            assert dark == (scheme == "dark")


def test_every_figure_is_drawn(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        figures = found.page.locator("figure svg:visible")
        assert figures.count() >= 20
        for number in range(figures.count()):
            shot = pixels(figures.nth(number).screenshot())
            assert min(shot.shape[:2]) > 60
            inked = (np.abs(shot.astype(int) - shot[0, 0]).sum(-1) > 60).mean()
            assert 0.005 < inked < 0.9, found.page.locator("figure:visible").nth(number).get_attribute("aria-label")


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


def test_search_leaves_what_holds_the_words(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        every = page.locator("#found").text_content()
        page.get_by_label("Search").fill("french-animals")
        expect(page.locator("#found")).not_to_have_text(every or "")
        rows = page.locator("#rows tr")
        assert rows.count() > 0
        open_first(page)
        expect(page.locator("#latent")).to_contain_text("french-animals")
        page.get_by_label("Search").fill("no text has these words")
        expect(rows).to_have_count(0)
        assert (page.locator("#found").text_content() or "").startswith("0 of")
        assert found.errors == []


def test_a_match_is_shown_and_marked(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        page.get_by_label("Search").fill(" Goes can ")
        rows = page.locator("#rows tr")
        expect(rows.first.locator("mark")).to_have_text("goes can")
        assert set(page.locator("#rows mark").all_text_contents()) == {"goes can"}
        assert page.locator("#rows mark").count() == rows.count() > 1
        expect(rows.first).to_contain_text("found in its texts")
        open_first(page)
        sought = page.locator("#latent .example", has=page.locator(".sought")).first
        expect(sought).to_be_visible()
        assert "goes can" in "".join(sought.locator(".sought").all_text_contents())
        page.get_by_label("Search").fill("")
        expect(page.locator("mark, .sought")).to_have_count(0)


def test_what_has_no_examples_is_counted_and_one_press_away(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        numbers = [int(part.replace(",", "")) for part in re.findall(r"[\d,]+", page.locator("#found").inner_text())]
        button = page.get_by_role("button", name="more without examples")
        expect(button).to_have_text(f"Show {numbers[1] - numbers[0]:,} more without examples")
        button.click()
        expect(page.locator("#found")).to_have_text(f"{numbers[1]:,} of {numbers[1]:,} latents")
        expect(button).to_be_hidden()
        expect(page.get_by_label("with examples")).to_be_focused()


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


def test_filters_and_sorting(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        page.get_by_label("with examples").uncheck()
        page.locator("select[name=name]").select_option("crosscoder-l1")
        page.locator("select[name=seed]").select_option("1")
        page.locator("select[name=kind]").select_option("specific")
        table = planted.metrics["dictionaries"]["crosscoder-l1"]["seeds"]["1"]["chat_specific"]
        count = table["reconstruction_and_error"]
        assert (page.locator("#found").text_content() or "").startswith(f"{count} of")
        assert all("crosscoder-l1 · 1" in text for text in page.locator("#rows tr th").all_text_contents())
        page.locator("button[data-by=frequency]").click()
        expect(page.locator("th[aria-sort=descending]")).to_have_text("frequency")
        cells = page.locator("#rows tr td:nth-child(4)").all_text_contents()
        shares = [float(cell.removesuffix(" %")) for cell in cells]
        assert shares == sorted(shares, reverse=True)
        assert len(shares) > 2


def test_a_link_to_a_latent_opens_it(browser: Browser, planted: Written) -> None:
    file = planted.root / "report/report.html"
    with opened(browser, file) as found:
        page = found.page
        link = page.locator("#rows tr a").nth(3)
        link.focus()
        page.keyboard.press("Enter")
        page.wait_for_url(LATENT)
        told = LATENT.search(page.url)
        assert told
        title = f"#{told[3]} of {told[1]}, seed {told[2]}"
        expect(page.locator("#latent h3")).to_have_text(title)
        fragment = page.url.partition("#")[2]
    with opened(browser, file, f"#{fragment}", size=NARROW) as found:
        expect(found.page.locator("#latent h3")).to_have_text(title)
        expect(found.page.locator("#latent")).to_be_in_viewport()
        assert found.errors == []


def test_a_link_to_no_latent_says_so(browser: Browser, planted: Written) -> None:
    file = planted.root / "report/report.html"
    for fragment, words in (
        ("#latent=crosscoder-l1/0/99999", "no latent “crosscoder-l1/0/99999”"),
        ("#latent=nothing", "no latent “nothing”"),
        ("#latent=%", "no latent “%”"),
    ):
        with opened(browser, file, fragment) as found:
            expect(found.page.get_by_role("alert")).to_contain_text(words)
            expect(found.page.locator("#latent")).to_be_focused()
            found.page.keyboard.press("j")
            expect(found.page.locator("#latent h3")).to_contain_text("seed 0")
            assert found.errors == []


def test_texts_are_shown_as_they_are(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        found.page.get_by_label("Search").fill("<b>")
        open_first(found.page)
        expect(found.page.locator("#latent .example", has_text="<b>").first).to_be_visible()


def test_texts_stand_in_bins_with_both_models_readings(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        found.page.locator("select[name=name]").select_option("crosscoder-l1")
        open_first(found.page)
        latent = found.page.locator("#latent")
        titles = latent.locator("details.texts summary").all_text_contents()
        assert [title.partition(" %")[0] for title in titles] == ["95 to 100", "75 to 95", "50 to 75", "25 to 50"]
        first = latent.locator(".example").first
        assert float(first.locator(".line .at").evaluate("e => e.style.getPropertyValue('--a')")) == 1
        expect(latent.locator(".line.base")).to_have_count(0)
        latent.get_by_label("each model's stream").check()
        peaks = [first.locator(f".line.{model} .at") for model in ("base", "chat")]
        strength = [float(peak.evaluate("e => e.style.getPropertyValue('--a')")) for peak in peaks]
        assert strength == pytest.approx([2.3 / 5, 1], abs=0.02)
        expect(first.locator("small")).to_contain_text("5.00 (the base's half adds −1.50, the chat's 6.50)")
        assert found.errors == []


def test_keys_walk_through_the_latents(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        links = page.locator("#rows tr a")
        titles = [f"{text} of" for text in links.all_text_contents()[:3]]
        links.first.focus()
        page.keyboard.press("ArrowDown")
        expect(links.nth(1)).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#latent h3")).to_contain_text(titles[1])
        expect(page.locator("#latent")).to_be_focused()
        page.keyboard.press("j")
        expect(page.locator("#latent h3")).to_contain_text(titles[2])
        page.keyboard.press("k")
        page.keyboard.press("k")
        expect(page.locator("#latent h3")).to_contain_text(titles[0])
        expect(page.locator("#rows tr[aria-current] a")).to_have_text(titles[0].removesuffix(" of"))
        page.get_by_label("Search").press("j")
        expect(page.get_by_label("Search")).to_have_value("j")
        assert page.locator("#latent h3").text_content().startswith(titles[0])


def test_quick_keys_are_all_taken(browser: Browser, planted: Written) -> None:
    """Keys that come before the page hears that its address has changed."""
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        title = page.locator("#rows tr a").nth(3).text_content()
        key = "document.querySelector('#latent').dispatchEvent(new KeyboardEvent('keydown', {key: 'j', bubbles: true}))"
        page.evaluate(f"() => {{ {key}; {key}; {key}; }}")
        expect(page.locator("#latent h3")).to_contain_text(f"{title} of")
        told = LATENT.search(page.url)
        assert told
        assert f"#{told[3]}" == title


def test_answers_stand_side_by_side(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        page.get_by_label("with examples").uncheck()
        page.locator("select[name=behaviour]").select_option("new-name")
        open_first(page)
        answers = page.locator("#latent .answers").first
        expect(answers.locator("dt")).to_have_count(3)
        tops = {round(box["y"]) for part in answers.locator("dt").all() if (box := part.bounding_box())}
        assert len(tops) == 1


@looks
def test_no_serious_barrier(browser: Browser, planted: Written, size: tuple[int, int], scheme: str) -> None:
    with opened(browser, planted.root / "report/report.html", size=size, color_scheme=scheme) as found:
        found.page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
        violations = Axe().run(found.page).response["violations"]
        serious = {
            rule["id"]: [node["html"][:160] for node in rule["nodes"]][:4]
            for rule in violations
            if rule["impact"] in ("serious", "critical")
        }
        assert not serious, json.dumps(serious, indent=1)


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
