"""A made-up study and its report, written once."""

from collections.abc import Iterator

import pytest
from browser import chromium
from playwright.sync_api import Browser
from study_files import Written, make_config, report, write_study


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Four dictionaries, two seeds, planted behaviours."""
    config = make_config()
    return report(write_study(tmp_path_factory.mktemp("planted"), config), config, drawn=True)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """One crosscoder and one SAE, one seed, nothing planted."""
    config = make_config(planted=False, seeds=(3,), names=("crosscoder-batchtopk", "chat-sae"))
    return report(write_study(tmp_path_factory.mktemp("plain"), config), config, drawn=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests that look at a page."""
    with chromium() as found:
        yield found
