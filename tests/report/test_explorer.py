"""The explorer's data: the right latents, numbers that equal the tables, texts that can be read back."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from study_files import Written, edit, make_config, report, write_study

from crossdiff.report.collect import collect
from crossdiff.report.explorer.data import document, embedded
from crossdiff.report.explorer.table import TOP, short
from crossdiff.report.explorer.texts import EACH, FIELDS, LETTERS, LEVELS, MASKED, Texts, examples, levels
from crossdiff.report.explorer.twins import best, twins


@pytest.fixture(scope="module")
def data(planted: Written) -> dict[str, Any]:
    """What the page of the planted study embeds."""
    found = re.search(r'id="latents-data">(.*?)</script>', planted.page, re.DOTALL)
    assert found
    return json.loads(found[1])


def keys(data: dict[str, Any]) -> list[tuple[str, int]]:
    return [
        (data["runs"][run]["folder"], latent)
        for run, latent in zip(data["table"]["run"], data["table"]["latent"], strict=True)
    ]


def test_called_latents_and_those_with_examples_are_shown(planted: Written, data: dict[str, Any]) -> None:
    here = set(keys(data))
    assert len(here) == len(data["table"]["run"])
    for run in data["runs"]:
        table = pl.read_parquet(planted.root / f"latents/{run['folder']}.parquet").filter(~pl.col("dead"))
        examples = pl.read_parquet(planted.root / f"latents/{run['folder']}.examples.parquet")
        assert {(run["folder"], latent) for latent in examples["latent"].unique()} <= here
        if run["twoSided"]:
            called = table.filter((pl.col("nu_reconstruction").abs() < 0.5) & (pl.col("nu_error").abs() < 0.2))
        else:
            called = table.filter(pl.col("nu_valid") & (pl.col("nu_activation").abs() < 0.3))
        assert called.height
        assert {(run["folder"], latent) for latent in called["latent"]} <= here
        assert TOP <= sum(folder == run["folder"] for folder, _ in here) < table.height


def test_the_page_counts_the_called_ones(planted: Written, data: dict[str, Any]) -> None:
    called = data["table"]["call"].count("chat-specific")
    assert called > 1
    assert f"the {called:,} that were called chat-specific" in planted.page


def test_numbers_are_those_of_the_tables(planted: Written, data: dict[str, Any]) -> None:
    table = data["table"]
    for place, (folder, latent) in list(enumerate(keys(data)))[::37]:
        row = pl.read_parquet(planted.root / f"latents/{folder}.parquet").row(latent, named=True)
        for column in ("frequency", "nu_activation", "template_share"):
            assert table[column][place] == pytest.approx(row[column], rel=1e-3)
        assert table["kind"][place] == row["class"]
        assert bool(table["valid"][place]) == row["nu_valid"]


def test_examples_can_be_read_back(planted: Written, data: dict[str, Any]) -> None:
    seen = 0
    for (folder, latent), packed in zip(keys(data), data["examples"], strict=True):
        if not packed or folder != "diff-sae-seed1":
            continue
        table = pl.read_parquet(planted.root / f"latents/{folder}.examples.parquet")
        rows = table.filter(pl.col("latent") == latent).sort("rank").to_dicts()
        assert len(rows) == len(packed)
        for row, values in zip(rows, packed, strict=True):
            seen += 1
            example = dict(zip(FIELDS, values, strict=True))
            where, roles, tokens = data["rows"][str(row["row"])]
            window = slice(row["first"], row["first"] + len(row["tokens"]))
            assert [data["words"][token] for token in tokens[window]] == row["tokens"]
            assert len(tokens) == len(roles) == 24
            assert where.startswith(row["source"])
            assert example["first"] + example["at"] == row["position"]
            assert (example["bin"], example["among"]) == (row["bin"], row["among"])
            columns = {"levels": "activations", "base": "activations_base", "chat": "activations_chat"}
            for name, column in columns.items():
                most = example["peak" if name == "levels" else "most"]
                for letter, value in zip(example[name], row[column], strict=True):
                    told = None if letter == MASKED else LETTERS.index(letter) / LEVELS * most
                    assert told == (None if value is None else pytest.approx(max(0, value), abs=0.02 * 5))
            read = [row[column][example["at"]] for column in ("activations_base", "activations_chat")]
            assert [example["onBase"], example["onChat"]] == pytest.approx(read, rel=1e-3)
    assert seen > 20


def test_no_bin_takes_the_place_of_the_others(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    run = study.dictionaries[0].runs[0]
    one = run.examples.filter(pl.col("latent") == run.examples["latent"][0], pl.col("rank") == 0)
    ranks = [one.with_columns(rank=pl.lit(rank, pl.UInt16), bin=pl.lit(rank < 7).cast(pl.UInt8)) for rank in range(9)]
    texts = Texts(study.rows.select("row", "roles"))
    (found,) = examples(replace(run, examples=pl.concat(ranks)), {one["latent"][0]}, texts).values()
    assert [values[FIELDS.index("bin")] for values in found] == [1] * EACH + [0, 0]
    assert len(texts.rows) == 1


def test_latents_used_for_a_behaviour_and_answers_are_there(data: dict[str, Any]) -> None:
    assert all(set(use) == set(data["behaviours"][0]) for use in data["behaviours"])
    shown = set(keys(data))
    for run, use in zip(data["runs"], data["behaviours"], strict=True):
        table = {latent for folder, latent in shown if folder == run["folder"]}
        # a latent that is dead in the table has no place in the list
        assert len(table & {latent for chosen in use.values() for latent in chosen}) > 0
    sample = data["runs"][0]["samples"]["new-name"]
    assert {entry["edit"] for entry in sample} == {"removed from the chat model", "added to the base model"}
    assert all(entry["prompt"].startswith("What about new-name") for entry in sample)
    before, after, random = (sample[0][name] for name in ("before", "after", "random"))
    assert [before[0], after[0], random[0]] == ["text"] * 3
    assert before[1] in (0, 1)
    assert len({(entry["edit"], entry["prompt"]) for entry in sample}) == len(sample) == 4


def test_every_latent_is_described(data: dict[str, Any]) -> None:
    numbers = data["table"]["latent"]
    assert data["descriptions"] == [f"fires on 'w{number}' & <b>" for number in numbers]


def test_an_element_cannot_be_closed_by_its_data() -> None:
    text = embedded({"a": "</script><b>&amp;", "b": "\u2028"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><b>&amp;", "b": "\u2028"}


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5, width=32)), max_size=40), st.floats(0.1, 5))
def test_levels_keep_zero_peak_and_masked_apart(values: list[float | None], peak: float) -> None:
    found = levels(values, peak)
    assert len(found) == len(values)
    for letter, value in zip(found, values, strict=True):
        if value is None:
            assert letter == MASKED
        else:
            assert LETTERS.index(letter) / LEVELS == pytest.approx(
                min(1, max(0, value / peak)), abs=0.5 / LEVELS + 1e-9
            )


def test_short_numbers_keep_four_digits_and_gaps() -> None:
    assert short(pl.Series([0.123456, None, 12345.6])) == [0.1235, None, 12350.0]


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 5))
def test_best_is_the_largest_product(shown: int, latents: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shown_sd, rows_fd = rng.normal(size=(shown, 4)).astype("f"), rng.normal(size=(latents, 4)).astype("f")
    latent, cosine = best(shown_sd, rows_fd)
    product = shown_sd @ rows_fd.T
    assert cosine == pytest.approx(product.max(1))
    assert product[np.arange(shown), latent] == pytest.approx(product.max(1))


def test_a_permuted_dictionary_has_every_latent_as_its_twin(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    decoder = rng.normal(size=(2, 12, 8)).astype("f")
    order = rng.permutation(12)
    other = 3 * decoder[1:, order]
    for name, weights in (("one", decoder), ("two", other)):
        save_file({"decoder": np.ascontiguousarray(weights)}, tmp_path / f"{name}.safetensors")
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    found = twins(files, [list(range(12)), [5]])
    assert [match[0][1] for match in found[0]] == np.argsort(order).tolist()
    assert all(match[0][2] == pytest.approx(1, abs=1e-3) for match in found[0])
    assert found[1] == [[(0, int(order[5]), 1.0)]]


def test_a_study_without_examples_or_answers(tmp_path: Path) -> None:
    config = make_config(planted=False, seeds=(0,), names=("chat-sae",))
    write_study(tmp_path, config)
    edit(tmp_path / "latents/chat-sae-seed0.examples.parquet", lambda table: table.clear())
    (tmp_path / "latents/chat-sae-seed0.descriptions.parquet").unlink()
    edit(tmp_path / "calls/chat-sae.parquet", lambda table: table.with_columns(call=pl.lit("none")))
    data = document(collect(config, tmp_path))
    assert set(data["descriptions"]) == {None}
    assert data["examples"] == [[]] * len(data["table"]["run"])
    assert data["runs"][0]["samples"] == {}
    assert data["twins"] == [[]] * len(data["table"]["run"])
    page = report(tmp_path, config).page
    assert "those with examples; none was called chat-specific" in page
