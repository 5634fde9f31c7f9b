"""One latent in a real browser: its numbers, texts, answers, address, and the keys that walk from one to the next."""

import base64
import json
import re
import zlib
from pathlib import Path

import polars as pl
import pytest
from browser import LATENT, NARROW, counts, open_first, opened
from playwright.sync_api import Browser, Page, expect
from study_files import Written

from crossdiff.report.explorer.payload import cut, packed
from crossdiff.report.numbers import signed


def called_in_words(page: Page) -> str:
    """The part of a column's name that stands for what the open latent is called."""
    return "base_specific" if "called base-specific" in page.locator("#latent .tags").inner_text() else "chat_specific"


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


def test_a_latent_shows_what_was_tested_and_that_its_rank_is_derived(browser: Browser, planted: Written) -> None:
    calls = pl.read_parquet(planted.root / "calls/diff-sae.parquet")
    named = calls.filter(seed=0, call="chat-specific").row(0, named=True)
    with opened(browser, planted.root / "report/report.html", f"#latent=diff-sae/0/{named['latent']}") as found:
        shown = found.page.locator("#latent .numbers div", has_text="tested: centred ν")
        expect(shown).to_contain_text(f"({signed(named['tested_low'], 3)[:5]}")
        assert shown.locator("[data-src]").get_attribute("data-src") == (
            f"calls/diff-sae.parquet#seed=0&latent={named['latent']}&column=tested"
        )
        found.page.locator("#latent .numbers div", has_text="rank").locator("[data-src]").hover()
        expect(found.page.locator("#where")).to_contain_text("the row's place when sorted by this column")
