"""The activations step on rows of the tiny pair."""

import json

import pytest

from crossdiff.activations import __main__ as step
from crossdiff.corpus.__main__ import main as make_corpus
from crossdiff.parts.activations import Activations as Settings
from crossdiff.parts.corpus import Corpus


@pytest.fixture(scope="module")
def rows_file(llama_pair, web_parquet, chat_jsonl, tmp_path_factory):
    sources = [
        {"name": "web", "path": str(web_parquet), "column": "text"},
        {"name": "chat", "path": str(chat_jsonl), "column": "messages"},
    ]
    corpus = Corpus(sources=sources, context=64, train_tokens=2000, validation_tokens=500)
    out = tmp_path_factory.mktemp("corpus")
    make_corpus(corpus.model_dump_json(), llama_pair.json, out)
    return out / "rows.parquet"


@pytest.fixture
def run(llama_pair, rows_file):
    def made(out, pair=llama_pair.json, rows=rows_file, base=None, **changes):
        settings = Settings(**{"layer": 1, "dtype": "float32", "batch_tokens": 256, "shard_tokens": 400} | changes)
        step.main(settings.model_dump_json(), pair, rows, out, base, threads=1)
        return json.loads((out / "manifest.json").read_text())

    return made
