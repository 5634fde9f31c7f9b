"""Where a number is from: told on focus, and true."""

import json
import re
from collections.abc import Iterator

import pytest
from browser import chromium, opened
from playwright.sync_api import Browser, expect
from study_files import Written

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with chromium() as found:
        yield found


def test_a_number_names_its_files_run_and_command(browser: Browser, planted: Written) -> None:
    with opened(browser, planted.root / "report/report.html") as found:
        page = found.page
        number = page.locator('#dictionaries [data-src="metrics.json#/dictionaries/diff-sae/l0"]')
        number.focus()
        box = page.get_by_role("tooltip")
        for text in ("dictionaries/diff-sae-seed0/run.json", "results.l0", "run ffffffff", "commit c0ffee"):
            expect(box).to_contain_text(text)
        expect(box).to_contain_text("crossdiff explain 'results/made-up/metrics.json#/dictionaries/diff-sae/l0'")
        expect(number).to_have_attribute("aria-describedby", "where")
        page.keyboard.press("Escape")
        expect(box).to_be_hidden()
        page.locator("#cause .source[data-files]").first.hover()
        expect(box).to_contain_text("figures/kl-all.vl.json")
        page.locator("#latent [data-src]").first.hover()
        expect(box).to_contain_text(re.compile(r"latents/.*parquet latent=\d+"))
        assert found.errors == []


def test_every_figure_and_number_can_be_asked(planted: Written) -> None:
    found = re.search(r'id="where-data">(.*?)</script>', planted.page, re.DOTALL)
    assert found
    told = json.loads(found[1])
    for pointer in re.findall(r'data-src="metrics\.json#([^"]+)"', planted.page):
        above = [pointer[:end] for end in range(len(pointer), 0, -1)]
        files = [file for file, _ in next(told["numbers"][part] for part in above if part in told["numbers"])]
        assert files
        assert all(told["records"][file] in told["steps"] for file in files)
    figures = set(re.findall(r'data-figure="([^"]+)"', planted.page))
    for name in figures:
        assert (planted.root / f"report/figures/{name}.vl.json").is_file()
    assert len(figures) > 15
