"""The explorer's data: the right latents, numbers that equal the tables, texts that can be read back."""

import base64
import json
import re
import zlib
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
from crossdiff.report.explorer.payload import cut, fitted, packed
from crossdiff.report.explorer.table import TOP, short
from crossdiff.report.explorer.texts import EACH, FIELDS, LETTERS, LEVELS, MASKED, Texts, examples, levels
from crossdiff.report.explorer.twins import best, twins


@pytest.fixture(scope="module")
def data(planted: Written) -> dict[str, Any]:
    """What the page of the planted study embeds."""
    found = re.search(r'id="latents-data">([^<]*)</script>', planted.page)
    assert found
    return json.loads(zlib.decompress(base64.b64decode(found[1])))


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
        examples = pl.read_parquet(planted.root / f"examples/{run['folder']}.parquet")
        assert {(run["folder"], latent) for latent in examples["latent"].unique()} <= here
        if run["twoSided"]:
            called = table.filter((pl.col("nu_reconstruction").abs() < 0.5) & (pl.col("nu_error").abs() < 0.2))
        else:
            called = table.filter(pl.col("nu_valid") & (pl.col("nu_activation").abs() < 0.3))
        assert called.height
        assert {(run["folder"], latent) for latent in called["latent"]} <= here
        assert TOP <= sum(folder == run["folder"] for folder, _ in here) < table.height


def called(planted: Written) -> pl.DataFrame:
    """Every call of a live latent: folder, latent, call, upheld, and its q."""
    parts = []
    for name in planted.config.dictionaries:
        calls = pl.read_parquet(planted.root / f"calls/{name}.parquet")
        for seed in planted.config.seeds:
            live = pl.read_parquet(planted.root / f"latents/{name}-seed{seed}.parquet").filter(~pl.col("dead"))
            own = calls.filter(pl.col("seed") == seed, pl.col("call").str.ends_with("-specific"))
            q = pl.when(call="chat-specific").then("q_chat_specific").otherwise("q_base_specific")
            folder = pl.lit(f"{name}-seed{seed}")
            parts.append(own.join(live, on="latent", how="semi").select("latent", "call", "upheld", folder=folder, q=q))
    return pl.concat(parts)


def test_every_call_is_shown_with_its_own_q(planted: Written, data: dict[str, Any]) -> None:
    table = data["table"]
    place = {key: number for number, key in enumerate(keys(data))}
    calls = called(planted)
    assert set(calls["call"]) == {"chat-specific", "base-specific"}
    for row in calls.iter_rows(named=True):
        number = place[row["folder"], row["latent"]]
        assert (table["call"][number], bool(table["upheld"][number])) == (row["call"], row["upheld"])
        assert table["q"][number] == pytest.approx(row["q"], rel=1e-3)


def test_the_page_counts_the_calls_and_those_that_are_upheld(planted: Written) -> None:
    calls = called(planted)
    chat, base = (calls.filter(call=f"{model}-specific").height for model in ("chat", "base"))
    upheld = calls["upheld"].sum()
    assert upheld > 1
    assert f"the {calls.height:,} that were called ({chat:,} chat-specific and {base:,} base-specific" in planted.page
    assert f"nothing that is looked for: {upheld} base-specific are." in planted.page
    illustrated = pl.concat([
        pl.read_parquet(file).select("latent", folder=pl.lit(file.stem)).unique()
        for file in sorted((planted.root / "examples").glob("*.parquet"))
    ])  # fmt: skip
    assert calls.join(illustrated, on=["folder", "latent"], how="anti").is_empty()
    assert "for the page's size" not in planted.page


def test_the_firmest_answers_come_first(data: dict[str, Any]) -> None:
    table = data["table"]
    turn = np.argsort(table["turn"])
    kinds = {"chat-specific": 0, "base-specific": 1}
    firm = [(not table["upheld"][row], kinds.get(table["call"][row], 2)) for row in turn]
    assert firm == sorted(firm)
    for kind in kinds:
        q = [table["q"][row] for row in turn if table["call"][row] == kind and not table["upheld"][row]]
        assert q == sorted(q)
        assert len(q) > 2
    places = [table["place"][row] for row in turn if table["call"][row] not in kinds]
    assert places == sorted(places)


def made_up(latents: int) -> dict[str, Any]:
    """Data of which each latent has texts of its own; the last latent has the first turn, and the first has none."""
    rng = np.random.default_rng(0)
    texts = [rng.choice(list(LETTERS), 500) for _ in range(latents)]
    return {
        "fields": ["row", "levels"],
        "table": {"turn": list(range(latents))[::-1]},
        "examples": [[[row, "".join(text)]] if row else [] for row, text in enumerate(texts)],
        "tokens": [{"chat": {"promoted": [["a", 1.0]]}} for _ in texts],
        "rows": {row: ["web", "4", [0]] for row in range(1, latents)},
    }


@given(st.integers(2, 30), st.integers(2_000, 20_000))
def test_texts_are_left_out_last_in_turn_first_until_the_rest_fits(latents: int, budget: int) -> None:
    whole = made_up(latents)
    text, kept = fitted(whole, budget)
    assert len(text) <= budget
    assert json.loads(zlib.decompress(base64.b64decode(text))) == json.loads(json.dumps(kept))
    there = [bool(examples) for examples in kept["examples"]]
    assert there == sorted(there)
    assert set(kept["rows"]) == {row for row in range(latents) if there[row]}
    assert kept["table"] == whole["table"]
    assert kept["examples"][0] == []
    left_out = [examples is None for examples in kept["examples"][1:]]
    assert left_out == [tokens is None for tokens in kept["tokens"][1:]]
    if any(left_out):
        assert len(packed(whole)) > budget
        more = cut(whole, 2 * sum(there) + 2)
        assert len(packed(more)) > budget


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
    for (folder, latent), kept in zip(keys(data), data["examples"], strict=True):
        if not kept or folder != "diff-sae-seed1":
            continue
        table = pl.read_parquet(planted.root / f"examples/{folder}.parquet")
        rows = table.filter(pl.col("latent") == latent).sort("rank").to_dicts()
        assert len(rows) == len(kept)
        for row, values in zip(rows, kept, strict=True):
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


LISTS = st.lists(st.one_of(st.none(), st.floats(-5, 5, width=32)), min_size=1, max_size=40)


@given(st.lists(st.tuples(LISTS, st.floats(0.1, 5)), min_size=1, max_size=4))
def test_levels_keep_zero_peak_and_masked_apart(cases: list[tuple[list[float | None], float]]) -> None:
    lists, peaks = zip(*cases, strict=True)
    found = levels(pl.Series(lists, dtype=pl.List(pl.Float64)), pl.Series(peaks))
    assert [len(letters) for letters in found] == [len(values) for values in lists]
    for letters, values, peak in zip(found, lists, peaks, strict=True):
        for letter, value in zip(letters, values, strict=True):
            if value is None:
                assert letter == MASKED
            else:
                share = min(1, max(0, value / peak))
                assert LETTERS.index(letter) / LEVELS == pytest.approx(share, abs=0.5 / LEVELS + 1e-9)


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
    edit(tmp_path / "examples/chat-sae-seed0.parquet", lambda table: table.clear())
    (tmp_path / "latents/chat-sae-seed0.descriptions.parquet").unlink()
    edit(tmp_path / "calls/chat-sae.parquet", lambda table: table.with_columns(call=pl.lit("none")))
    data = document(collect(config, tmp_path))
    assert set(data["descriptions"]) == {None}
    assert data["examples"] == [[]] * len(data["table"]["run"])
    assert data["runs"][0]["samples"] == {}
    assert data["twins"] == [[]] * len(data["table"]["run"])
    page = report(tmp_path, config).page
    assert "those with examples; none was called." in page
    assert "of the called ones" not in page
