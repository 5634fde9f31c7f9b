"""Dictionaries trained on tokens that both models read on the way."""

import json
import time
from collections import Counter
from dataclasses import asdict
from itertools import islice

import polars as pl
import pytest
import torch
from planted_data import small

from crossdiff.activations.__main__ import main as extract
from crossdiff.activations.store import Activations, read_manifest
from crossdiff.activations.stream import Feed
from crossdiff.attribution.__main__ import main as attribute
from crossdiff.corpus.__main__ import main as make_corpus
from crossdiff.dictionaries import load, train
from crossdiff.dictionaries.stream import main, opened
from crossdiff.errors import UserError
from crossdiff.parts.activations import Activations as Settings
from crossdiff.parts.attribution import Attribution
from crossdiff.parts.corpus import Corpus

SETTINGS = {"layer": 1, "dtype": "float32", "batch_tokens": 256, "shard_tokens": 400, "store": "stream"}
RECIPES = {"both": small(latents=48), "chat-diff": small("diff-sae", batch=50, steps=45, sources=("chat",))}


@pytest.fixture(scope="module")
def files(llama_pair, web_parquet, chat_jsonl, tmp_path_factory):
    """rows.parquet, and manifests of a stream's sample and of a store of everything."""
    sources = [
        {"name": "web", "path": str(web_parquet), "column": "text"},
        {"name": "chat", "path": str(chat_jsonl), "column": "messages"},
    ]
    folder = tmp_path_factory.mktemp("study")
    corpus = Corpus(sources=sources, context=64, train_tokens=2000, validation_tokens=500)
    make_corpus(corpus.model_dump_json(), llama_pair.json, folder)
    rows = folder / "rows.parquet"
    for name, over in (("stream", {"sample_tokens": 600, "buffer_tokens": 700}), ("disk", {"store": "disk"})):
        settings = Settings(**SETTINGS | over)
        extract(settings.model_dump_json(), llama_pair.json, rows, folder / name, threads=1)
    return rows, folder / "stream" / "manifest.json", folder / "disk" / "manifest.json"


@pytest.fixture
def stream(files, llama_pair):
    rows, manifest, _ = files
    return opened(Activations.open(manifest), read_manifest(manifest), rows, llama_pair.json, "cpu")


@pytest.fixture
def go(files, llama_pair):
    def run(out, recipes=RECIPES, seeds=(0, 1)):
        text = json.dumps({name: asdict(recipe) for name, recipe in recipes.items()})
        main(text, list(seeds), llama_pair.json, files[0], files[1], out)
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.glob("*/dictionary.*")}

    return run


def epoch(stream, start=0):
    """Windows of the epoch that begins with window ``start``, until every row has been."""
    seen, windows = 0, []
    for number, rows_W in stream.windows(start):
        windows.append((number, rows_W))
        seen += len(rows_W)
        if seen == len(stream.rows.lengths_R):
            return windows
    return windows


def test_windows_hold_every_row_once_an_epoch(stream):
    first = epoch(stream)
    assert len(first) > 2
    second = epoch(stream, len(first))
    for windows in (first, second):
        rows = torch.cat([rows_W for _, rows_W in windows])
        assert torch.equal(rows.sort().values, torch.arange(len(stream.rows.lengths_R)))
    assert not torch.equal(first[0][1], second[0][1])
    assert all(int(stream.rows.lengths_R[rows_W].sum()) < 700 + 64 for _, rows_W in first)
    for (number, rows_W), (same, again) in zip(
        islice(stream.windows(2), 9), islice(stream.windows(), 2, 11), strict=True
    ):
        assert number == same
        assert torch.equal(rows_W, again)


@pytest.mark.parametrize("sources", [None, ("chat",)])
def test_every_kept_token_once_an_epoch_with_its_stored_activations(files, stream, sources):
    """Also for batches larger than a window's tokens, and with what is carried from window to window."""
    wanted = Activations.open(files[2]).masked(stream.store.thresholds).view("train", sources)
    stored = wanted.gather(torch.arange(wanted.tokens))
    feed, given = Feed(97, 5, sources), []
    for number, rows_W in epoch(stream):
        given += feed.batches(stream.read(rows_W, sources or stream.store.sources), number)
    assert {len(x_BLD) for x_BLD in given} == {97}
    x_NLD = torch.cat([*given, feed.carried_BLD] if feed.carried_BLD is not None else given)
    assert len(x_NLD) == wanted.tokens
    # Tokens are told by their activations: each stored one has its own counterpart, close by.
    distance_NN = torch.cdist(x_NLD.flatten(1).double(), stored.flatten(1).double())
    assert float(distance_NN.min(1).values.max()) < 1e-3
    kinds = torch.unique(torch.round(stored.flatten(1), decimals=1), dim=0, return_inverse=True)[1]
    assert Counter(kinds[distance_NN.argmin(1)].tolist()) == Counter(kinds.tolist())


def test_a_source_reads_the_same_whichever_others_are_wanted(stream):
    rows_W = next(stream.windows())[1]
    alone = stream.read(rows_W, ["chat"]).view("train", ["chat"])
    beside = stream.read(rows_W, ["chat", "web"]).view("train", ["chat"])
    index = torch.arange(alone.tokens)
    assert torch.equal(alone.gather(index), beside.gather(index))


def test_all_dictionaries_are_made_and_a_seed_repeats(go, tmp_path, files, llama_pair):
    first = go(tmp_path / "first")
    assert len(first) == 2 * 4
    assert go(tmp_path / "again") == first
    only = go(tmp_path / "only", {"chat-diff": RECIPES["chat-diff"]}, [1])
    assert only == {name: data for name, data in first.items() if name.startswith("chat-diff-seed1/")}
    assert first["both-seed0/dictionary.safetensors"] != first["both-seed1/dictionary.safetensors"]
    folder = tmp_path / "first/both-seed0"
    assert sorted(path.name for path in folder.iterdir()) == [
        "dictionary.json", "dictionary.safetensors", "run.json", "training.parquet",
    ]  # fmt: skip
    results = json.loads((folder / "run.json").read_text())["results"]
    assert results["tokens"]["presented"] == 60 * 64
    assert results["fve"] > 0.2
    assert pl.read_parquet(folder / "training.parquet")["step"].to_list() == [10, 20, 30, 40, 50, 60]
    assert load(folder).about["activations"]["tokens"] == results["tokens"]["train"]
    out = tmp_path / "both-seed0.parquet"
    settings = Attribution(blocks=4).model_dump_json()
    attribute(settings, llama_pair.json, folder, files[1], files[0], out)
    assert pl.read_parquet(out).height == 48


@pytest.mark.parametrize("at", [20, 95, 150])
def test_an_interrupted_stream_goes_on_to_the_same_bytes(go, tmp_path, monkeypatch, at):
    whole = go(tmp_path / "whole")
    real, calls = train._advance, []

    def failing(*given):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(train, "_advance", failing)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut")
    assert not list((tmp_path / "cut").glob("*/run.json"))
    assert go(tmp_path / "cut") == whole
    steps = 2 * (60 + 45)
    assert len(calls) < at + steps or at == 20


def test_rows_of_another_study_are_refused(files, llama_pair, tmp_path):
    pl.read_parquet(files[0]).head(5).write_parquet(tmp_path / "rows.parquet")
    text = json.dumps({"both": asdict(RECIPES["both"])})
    with pytest.raises(UserError, match=r"manifest\.json was not read from .*rows\.parquet, but from other rows"):
        main(text, [0], llama_pair.json, tmp_path / "rows.parquet", files[1], tmp_path / "out")


def test_seconds_of_all_are_those_that_passed(go, tmp_path):
    started = time.perf_counter()
    go(tmp_path / "all")
    passed = time.perf_counter() - started
    records = [json.loads(file.read_text()) for file in sorted((tmp_path / "all").glob("*/run.json"))]
    assert len(records) > 2
    assert 0.3 * passed < sum(record["seconds"] for record in records) <= passed
    assert all(record["seconds"] > record["results"]["training"]["seconds"] for record in records)


@pytest.mark.parametrize(
    ("recipes", "seeds", "said"),
    [
        (
            {"both": {**asdict(RECIPES["both"]), "batch": 10**6}},
            [0],
            r"both\.batch = 1000000 exceeds the",
        ),
        ({}, [0], "name at least one dictionary"),
        ({"both": asdict(RECIPES["both"])}, [0, 0], "each seed once"),
    ],
)
def test_what_cannot_be_trained_is_told_at_once(files, llama_pair, tmp_path, recipes, seeds, said):
    with pytest.raises(UserError, match=said):
        main(json.dumps(recipes), seeds, llama_pair.json, files[0], files[1], tmp_path / "out")
    assert not (tmp_path / "out").exists()
