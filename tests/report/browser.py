"""A headless Chromium for the tests of the page.

Tests are skipped where no Chromium is installed; with CROSSDIFF_REQUIRE_CHROMIUM set they fail instead, so that a
machine that ought to have one cannot pass by leaving them out.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium is installed (Debian: apt-get install chromium)"
WIDE, NARROW = (1440, 900), (390, 844)
LATENT = re.compile(r"latent=(.+)/(\d+)/(\d+)$")


@dataclass
class Opened:
    """A page in the browser, and what went wrong or left it while it was open."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The installed browser, or a skipped test."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        if os.environ.get("CROSSDIFF_REQUIRE_CHROMIUM"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, as in containers; what it opens here is the tests' own page.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, file: Path, fragment: str = "", size: tuple[int, int] = WIDE, **options: Any
) -> Iterator[Opened]:
    """A file of disk, opened as by double click, without a network."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, offline=True, **options)
    page = context.new_page()
    found = Opened(page)
    page.on("console", lambda message: found.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    try:
        page.goto(file.resolve().as_uri() + fragment)
        page.wait_for_selector("[aria-busy]", state="detached")  # the explorer unpacks its data after the page is there
        yield found
    finally:
        context.close()


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
