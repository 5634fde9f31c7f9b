"""How all tests are run; the fixtures for everyone are in shared_fixtures.py."""

import os

import pytest
from hypothesis import settings

os.environ["POLARS_MAX_THREADS"] = "1"  # as torch: the other cores have tests of their own, and tables here are small
# How long an example takes says how busy the machine is. The same examples each time, so that a commit that passed once
# passes again; `pytest --hypothesis-profile=search` looks for new ones.
settings.register_profile("any machine", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("any machine")

SHARED = {"tools": "tools", "whole": "audit", "planted": "report", "plain": "report", "browser": "report"}
"""Fixture that takes long to make -> the group of tests that one worker runs, so that it is made once."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group tests by what they share; groups and slow tests come first, that none is left to one worker at the end."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        for name in SHARED.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(SHARED[name]))
    items.sort(key=lambda item: not any(item.get_closest_marker(mark) for mark in ("slow", "xdist_group")))


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures; they import torch, for which workers would wait if what only hands them tests did so, too."""
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        config.pluginmanager.import_plugin("shared_fixtures")
