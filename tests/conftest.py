"""Fixtures for everyone: tiny pairs on disk, their tokenizer, and small local corpora."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import settings
from tiny import FAMILIES, SENTENCES, TinyPair, conversation, make_pair, make_tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging
from warm import fresh, warm

from crossdiff import products

torch.set_num_threads(1)
logging.disable_progress_bar()
# How long an example takes says how busy the machine is. The same examples each time, so that a commit that passed once
# passes again; `pytest --hypothesis-profile=search` looks for new ones.
settings.register_profile("any machine", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("any machine")

SHARED = {"tools": "tools", "planted": "report", "plain": "report", "browser": "report"}
"""Fixture that takes long to make -> the group of tests that one worker runs, so that it is made once."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests by what they share; groups and slow tests come first, that none is left to one worker at the end."""
    for item in items:
        for name in SHARED.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(SHARED[name]))
    items.sort(key=lambda item: not any(item.get_closest_marker(mark) for mark in ("slow", "xdist_group")))


@pytest.fixture(autouse=True)
def products_as_before() -> Iterator[None]:
    """A step takes products its own way for the rest of its process, which costs each small operation; here it ends."""
    yield
    while products._kept:
        products._kept.pop().__exit__(None, None, None)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of commands that start at once; the study of docs/new-pair.md alone starts each step afresh."""
    with warm(fresh(tmp_path_factory.mktemp("hub"))) as folder:
        yield folder


@pytest.fixture(scope="session")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TinyPair]:
    """Family (one of FAMILIES) -> its tiny pair, made once a session. Do not write into its folders."""
    return cache(lambda family: make_pair(family, tmp_path_factory.mktemp(family)))


@pytest.fixture(params=FAMILIES)
def tiny_pair(request: pytest.FixtureRequest, tiny_pairs: Callable[[str], TinyPair]) -> TinyPair:
    """Each tiny pair in turn."""
    return tiny_pairs(request.param)


@pytest.fixture(scope="session")
def llama_pair(tiny_pairs: Callable[[str], TinyPair]) -> TinyPair:
    """The tiny Llama pair, for tests that need one pair only."""
    return tiny_pairs("llama")


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the tiny pairs."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def chat_jsonl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 conversations, column ``messages``."""
    path = tmp_path_factory.mktemp("corpus") / "chat.jsonl"
    path.write_text("".join(json.dumps({"messages": conversation(number)}) + "\n" for number in range(60)))
    return path


@pytest.fixture(scope="session")
def web_parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 documents, column ``text``."""
    path = tmp_path_factory.mktemp("corpus") / "web.parquet"
    texts = [f"Document {number}. " + " ".join(SENTENCES[number % 5 :]) for number in range(60)]
    pl.DataFrame({"text": texts}).write_parquet(path)
    return path
