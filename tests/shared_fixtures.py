"""Fixtures for everyone: commands, tiny pairs on disk, their tokenizer, and small local corpora."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml
from tiny import FAMILIES, SENTENCES, TinyPair, conversation, make_pair, make_tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging
from warm import fresh, warm

from crossdiff import products
from crossdiff.overlay import merged

torch.set_num_threads(1)
logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def products_as_before() -> Iterator[None]:
    """A step takes products its own way for the rest of its process, which costs each small operation; here it ends."""
    yield
    while products._kept:
        products._kept.pop().__exit__(None, None, None)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of commands that start at once."""
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


@pytest.fixture
def tiny_study(
    tiny_pairs, web_parquet: Path, chat_jsonl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict:
    """A config of a tiny pair whose folders a test may spoil, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    pair = tiny_pairs("llama")
    for which in ("base", "chat"):
        shutil.copytree(getattr(pair, which), tmp_path / which)
    sources = [
        {"name": "web", "path": str(web_parquet), "column": "text", "share": 0.5},
        {"name": "chat", "path": str(chat_jsonl), "column": "messages", "share": 0.5},
    ]
    smoke = yaml.safe_load((Path(__file__).parent / "smoke/config.yaml").read_text())
    parts = {
        "pair": {"name": "tiny", "base": {"path": "./base"}, "chat": {"path": "./chat", "planted": None}},
        "corpus": {"sources": sources},
        "calibration": {"null_tune": None},
    }
    return merged(smoke, parts)
