"""The page in a real browser: nothing fetched, nothing broken, everything drawn, usable by everyone."""

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import NARROW, WIDE, chromium, opened
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from study_files import Written

from crossdiff.report.explorer.payload import cut, packed

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


def counts(page: Page) -> list[int]:
    """Numbers told above the list: latents listed and all, and of those listed the called and upheld ones."""
    return [int(part.replace(",", "")) for part in re.findall(r"[\d,]*\d", page.locator("#found").inner_text())]


def cells(page: Page, column: int) -> list[str]:
    """A column of the list, from 1; the second is the first number."""
    return page.locator(f"#rows tr td:nth-child({column + 1})").all_text_contents()


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
        expect(page.get_by_label("with examples")).not_to_be_checked()
        page.get_by_label("with examples").check()
        numbers = counts(page)
        button = page.get_by_role("button", name="more without examples")
        expect(button).to_have_text(f"Show {numbers[1] - numbers[0]:,} more without examples")
        button.click()
        expect(page.locator("#found")).to_contain_text(f"{numbers[1]:,} of {numbers[1]:,} latents")
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
        page.locator("select[name=name]").select_option("crosscoder-l1")
        page.locator("select[name=seed]").select_option("1")
        page.locator("select[name=kind]").select_option("specific")
        table = planted.metrics["dictionaries"]["crosscoder-l1"]["seeds"]["1"]["chat_specific"]
        count = table["reconstruction_and_error"]
        assert (page.locator("#found").text_content() or "").startswith(f"{count} of")
        assert all("crosscoder-l1 · 1" in text for text in page.locator("#rows tr th").all_text_contents())
        page.locator("button[data-by=frequency]").click()
        expect(page.locator("th[aria-sort=descending]")).to_have_text("frequency")
        shares = [float(cell.removesuffix(" %")) for cell in cells(page, 3)]
        assert shares == sorted(shares, reverse=True)
        assert len(shares) > 2


def test_it_opens_on_the_firmest_call_and_says_whether_it_is_upheld(browser: Browser, planted: Written) -> None:
    calls = pl.concat([pl.read_parquet(file) for file in sorted((planted.root / "calls").glob("*.parquet"))])
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        everything = counts(page)
        assert everything[3] > 0
        expect(page.locator("#latent .tags")).to_contain_text("called base-specific, upheld")
        expect(page.locator("#rows tr[aria-current] .peek")).to_contain_text("called base-specific, upheld")
        page.get_by_label("upheld", exact=True).check()
        assert counts(page) == [everything[3], everything[1], everything[3], everything[3]]
        page.get_by_label("upheld", exact=True).uncheck()
        page.locator("select[name=kind]").select_option("chat-specific")
        listed, _, called, upheld = counts(page)
        assert (called, upheld) == (listed, 0)
        assert 0 < listed <= calls.filter(call="chat-specific").height
        open_first(page)
        expect(page.locator("#latent .tags")).to_contain_text("called chat-specific, not upheld")
        expect(page.locator("#latent")).to_contain_text("cannot be told from what another tune adds")
        assert found.errors == []


def test_calls_are_filtered_by_q_and_by_other_seeds(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        page.locator("select[name=kind]").select_option("base-specific")
        page.get_by_label("Matched in at least").select_option(label="1 of 1 other seeds")
        page.get_by_label("q at most").fill("0.4")
        page.locator("button[data-by=q]").click()
        q = [float(cell) for cell in cells(page, 5)]
        assert q == sorted(q)
        assert len(q) > 1
        assert 0 <= q[0] < q[-1] <= 0.4
        assert set(cells(page, 6)) == {"1 of 1"}
        page.get_by_label("Matched in at least").select_option("0")
        page.locator("button[data-by=seeds]").click()
        seeds = cells(page, 6)
        assert seeds == sorted(seeds, reverse=True)
        assert set(seeds) == {"0 of 1", "1 of 1"}
        page.get_by_label("called so in most seeds").check()
        page.locator("select[name=kind]").select_option("")
        page.get_by_label("q at most").fill("")
        for link in page.locator("#rows tr a").all()[:3]:
            link.click()
            expect(page.locator("#latent .tags")).to_contain_text("called chat-specific in most seeds")


def test_what_the_list_is_sorted_by_is_one_of_its_columns(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        page.locator("select[name=name]").select_option("crosscoder-l1")
        page.get_by_label("Sort by").select_option("Δ_norm")
        expect(page.locator("th[aria-sort=descending]")).to_have_text("Δ_norm")
        delta = [float(cell) for cell in cells(page, 7)]
        assert delta == sorted(delta, reverse=True)
        assert len(set(delta)) > 2
        page.locator("button[data-by=rank]").click()
        expect(page.get_by_label("Sort by")).to_have_value("rank")
        expect(page.locator("#rows tr").first.locator("td")).to_have_count(6)


def test_a_link_to_a_filter_lists_what_it_names(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        page.get_by_label("with examples").check()
        page.locator("#calls a", has_text="in the explorer").first.click()
        expect(page.locator("#find")).to_be_in_viewport()
        expect(page.get_by_label("with examples")).not_to_be_checked()
        expect(page.get_by_label("called so in most seeds")).to_be_checked()
        expect(page.locator("select[name=kind]")).to_have_value("chat-specific")
        assert {text.partition(" ·")[0] for text in page.locator("#rows th .under").all_text_contents()} == {
            page.locator("select[name=name]").input_value()
        }
        page.locator("#calls details a").first.evaluate("link => link.click()")
        expect(page.locator("#latent h3")).to_contain_text("seed 0")
        assert found.errors == []


def test_every_number_of_a_latent_names_its_file(browser: Browser, planted: Written) -> None:
    address = re.compile(r"(latents|examples|calls)/([\w.-]+)\.parquet#(seed=(\d+)&)?latent=(\d+)&column=(\w+)")
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        page.get_by_label("with examples").check()
        open_first(page)
        told = LATENT.search(page.url)
        assert told
        sources = page.locator("#latent [data-src]").evaluate_all("parts => parts.map((part) => part.dataset.src)")
        named = [address.fullmatch(source) for source in sources]
        assert len(named) > 20
        for match, source in zip(named, sources, strict=True):
            assert match, source
            assert match[5] == told[3]
            assert match[4] in (None, told[2])
            schema = pl.read_parquet_schema(planted.root / f"{match[1]}/{match[2]}.parquet")
            assert match[6] in schema, source
        listed = page.locator("#rows tr").first.locator("td[data-src]")
        assert listed.count() == 5
        q = listed.nth(3).get_attribute("data-src")
        assert q == f"calls/{told[1]}.parquet#seed={told[2]}&latent={told[3]}&column=q_{called_in_words(page)}"


def called_in_words(page: Page) -> str:
    """The part of a column's name that stands for what the open latent is called."""
    return "base_specific" if "called base-specific" in page.locator("#latent .tags").inner_text() else "chat_specific"


def test_texts_that_are_left_out_are_told_to_be_elsewhere(browser: Browser, planted: Written, tmp_path: Path) -> None:
    text = re.search(r'id="latents-data">([^<]*)<', planted.page)
    assert text
    whole = json.loads(zlib.decompress(base64.b64decode(text[1])))
    file = tmp_path / "short.html"
    file.write_text(planted.page.replace(text[1], packed(cut(whole, 30))))
    row = next(row for row, turn in enumerate(whole["table"]["turn"]) if turn >= 30 and whole["examples"][row])
    run = whole["runs"][whole["table"]["run"][row]]
    with opened(browser, file, f"#latent={run['name']}/{run['seed']}/{whole['table']['latent'][row]}") as found:
        page = found.page
        expect(page.locator("#latent")).to_contain_text("For the page's size its texts stand in examples/")
        page.get_by_label("with examples").check()
        kept = [turn for turn, examples in zip(whole["table"]["turn"], whole["examples"], strict=True) if examples]
        assert counts(page)[0] == sum(turn < 30 for turn in kept) > 0
        page.get_by_label("Search").fill("goes can")
        assert counts(page)[0] <= 30
        assert found.errors == []


def test_numbers_are_explained_where_they_stand(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html", size=NARROW) as found:
        page = found.page
        page.get_by_label("with examples").check()
        open_first(page)
        page.locator("#latent summary", has_text="What these numbers mean").click()
        terms = page.locator("#latent .meaning dt").all_inner_texts()
        assert {"rank", "ν", "q"} <= set(terms)
        expect(page.locator("#latent")).to_contain_text("peak: its activation at the boxed token")
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]


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


def test_a_latent_far_down_is_listed_without_those_before_it(browser: Browser, planted: Written) -> None:
    file = planted.root / "report/report.html"
    with opened(browser, file) as found:
        page = found.page
        page.get_by_label("Sort by").select_option("q")
        page.locator("select[name=kind]").select_option("called")
        while page.locator("#more").is_visible():
            page.locator("#more").click()
        last = page.locator("#rows tr a").last.get_attribute("href")
        assert page.locator("#rows tr").count() > 100
        page.locator("select[name=kind]").select_option("")
        page.locator("select[name=kind]").select_option("called")
        page.evaluate("link => { location.hash = link; }", last)
        expect(page.locator("#rows tr").first.locator("a")).to_have_attribute("href", last or "")
        expect(page.locator("#rows tr")).to_have_count(41)
        expect(page.locator("#rows tr").first).to_have_attribute("aria-current", "true")


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
            first = found.page.locator("#rows tr a").first.text_content()
            found.page.keyboard.press("j")
            expect(found.page.locator("#latent h3")).to_contain_text(f"{first} of")
            assert found.errors == []


def test_texts_are_shown_as_they_are(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        found.page.get_by_label("with examples").check()
        found.page.get_by_label("Search").fill("<b>")
        open_first(found.page)
        expect(found.page.locator("#latent .example", has_text="<b>").first).to_be_visible()


def test_texts_stand_in_bins_with_both_models_readings(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        found.page.locator("select[name=name]").select_option("crosscoder-l1")
        found.page.get_by_label("with examples").check()
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
