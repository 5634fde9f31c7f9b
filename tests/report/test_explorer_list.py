"""The explorer's list in a real browser: search, filters, order, and links to them."""

from browser import LATENT, cells, counts, open_first, opened
from playwright.sync_api import Browser, expect
from study_files import Written


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
        # Not the dictionary of the latent that is open, which heads the list if it is far down.
        page.locator("select[name=name]").select_option("crosscoder-batchtopk")
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


def test_filters_are_cleared_at_once(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        every = page.locator("#found").text_content() or ""
        page.locator("#find [name=name]").select_option("chat-sae")
        page.get_by_label("with examples").check()
        page.get_by_label("Search").fill("no text has these words")
        expect(page.locator("#rows tr")).to_have_count(0)
        page.get_by_role("button", name="Clear filters").click()
        expect(page.locator("#found")).to_have_text(every)
        expect(page.get_by_label("Search")).to_have_value("")
        expect(page.get_by_label("with examples")).not_to_be_checked()


def test_a_row_opens_its_latent_wherever_it_is_clicked(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        row = page.locator("#rows tr").nth(2)
        number = row.locator("a").inner_text()
        row.locator("td").nth(1).click()
        expect(page.locator("#latent h3")).to_contain_text(number)
        expect(page.locator("#latent")).to_be_focused()
        assert LATENT.search(page.url)
