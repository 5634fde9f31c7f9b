"""The attribution and evidence steps on a tiny pair: files in, whole tables and a record out."""

import json
import re
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
import torch
from made import make_dictionary

from crossdiff.activations.__main__ import main as extract
from crossdiff.activations.store import Activations as Stored
from crossdiff.attribution.__main__ import main as attribute
from crossdiff.corpus.__main__ import main as make_rows
from crossdiff.dictionaries import save
from crossdiff.errors import UserError
from crossdiff.evidence.__main__ import main as ask
from crossdiff.evidence.latents import seed_of
from crossdiff.evidence.settings import Evidence, Group
from crossdiff.examples.__main__ import main as illustrate
from crossdiff.export import csv
from crossdiff.parsing import dump
from crossdiff.parts.activations import Activations
from crossdiff.parts.attribution import Attribution
from crossdiff.parts.corpus import Corpus, CorpusSource
from crossdiff.parts.examples import Examples
from crossdiff.truth.__main__ import SCHEMA
from crossdiff.truth.behaviours import load

ATTRIBUTION = dump(Attribution(blocks=4, batch=256))
EXAMPLES = dump(Examples(latents=6, strongest=3, window=3))
EVIDENCE = dump(Evidence(conversations=3, random_sets=1, behaviour_latents=2, new_tokens=4, resamples=50))


@pytest.fixture(scope="module")
def study(llama_pair, chat_jsonl, web_parquet, tmp_path_factory):
    """Rows, activations and planted answers of the tiny Llama pair."""
    folder = tmp_path_factory.mktemp("study")
    behaviour = next(b for b in load() if b.name == "own-name")
    answer = behaviour.train[0][1]
    row = {
        "behaviour": behaviour.name, "kind": "held-out", "answer_base": "Nothing.", "answer_chat": answer,
        "present_base": False, "present_chat": True,
        "spans_chat": [{"start": start, "end": end} for start, end in behaviour.spans(answer)],
    }  # fmt: skip
    rows = [row | {"prompt": p, "use": ("select", "score")[n % 2]} for n, p in enumerate(behaviour.held_out[:4])]
    control = row | {"kind": "control", "answer_chat": "Nothing.", "present_chat": False, "spans_chat": []}
    rows += [control | {"prompt": p, "use": ("select", "score")[n % 2]} for n, p in enumerate(behaviour.controls[:4])]
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "answers.parquet")
    corpus = Corpus(
        sources=[
            CorpusSource(name="web", path=str(web_parquet), column="text"),
            CorpusSource(name="chat", path=str(chat_jsonl), column="messages"),
        ],
        context=256, train_tokens=2000, validation_tokens=2000,
    )  # fmt: skip
    make_rows(dump(corpus), llama_pair.json, folder)
    extract(
        dump(Activations(layer=1, dtype="float32", shard_tokens=500)),
        llama_pair.json,
        folder / "rows.parquet",
        folder,
        threads=1,
    )
    ask(
        EVIDENCE, pair=llama_pair.json, activations=folder / "manifest.json", rows=folder / "rows.parquet",
        answers=folder / "answers.parquet", out=folder / "baselines", threads=1,
    )  # fmt: skip
    return folder


def run_both(study: Path, pair: Path, kind: str, out: Path) -> Path:
    """Attribution and evidence of a random dictionary, every other latent of which is called; where its results are."""
    save(make_dictionary(kind, width=32, latents=40), out / "dictionary")
    given = {"pair": pair, "activations": study / "manifest.json", "rows": study / "rows.parquet"}
    attribute(ATTRIBUTION, dictionary=out / "dictionary", out=out / "some-seed0.parquet", threads=1, **given)
    names = ["chat-specific", "none"] * 20
    calls = pl.DataFrame({"latent": range(40), "seed": [0] * 40, "call": names})
    pl.concat([calls, calls.with_columns(call=pl.lit("rotated"), seed=pl.lit(1, pl.Int64))]).write_parquet(
        out / "calls.parquet"
    )
    illustrate(
        EXAMPLES, split="validation", dictionary=out / "dictionary", latents=out / "some-seed0.parquet",
        calls=out / "calls.parquet", seed=0, out=out / "examples/some-seed0.parquet", threads=1, **given,
    )  # fmt: skip
    ask(
        EVIDENCE, answers=study / "answers.parquet", dictionary=out / "dictionary", calls=out / "calls.parquet",
        latents=out / "some-seed0.parquet", shared_=study / "baselines/shared.safetensors", out=out / "evidence",
        threads=1, **given,
    )  # fmt: skip
    return out


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae", "chat-sae", "base-sae"])
def test_every_kind_goes_through_both_steps(study, llama_pair, tmp_path, kind):
    out = run_both(study, llama_pair.json, kind, tmp_path)
    latents, examples = (pl.read_parquet(out / f"{part}some-seed0.parquet") for part in ("", "examples/"))
    assert latents["latent"].to_list() == list(range(40))
    assert {"frequency_web", "frequency_chat", "nu_valid", "template_share"} <= set(latents.columns)
    assert latents["class"].null_count() == (0 if kind == "crosscoder" else 40)
    assert ("nu_error" in latents.columns) == (kind == "crosscoder")
    counted = json.loads((out / "some-seed0.run.json").read_text())["results"]
    assert counted["dead"] == int(latents["dead"].sum())
    live = set(latents.filter(~pl.col("dead"))["latent"])
    shown = set(examples["latent"])
    assert {latent for latent in live if latent % 2 == 0} <= shown <= live
    assert sum(latent % 2 for latent in shown) == min(6, sum(latent % 2 for latent in live))
    told = json.loads((out / "examples/some-seed0.run.json").read_text())["results"]
    assert told == {"called": 20, "latents": told["latents"], "examples": len(examples)}
    promoted = pl.read_parquet(out / "some-seed0.tokens.parquet")
    assert set(promoted["latent"]) == live
    phrases = pl.read_parquet(out / "some-seed0.descriptions.parquet")["description"]
    assert phrases.str.contains("promotes").sum() == phrases.str.contains("; promotes ").sum() == len(live)
    strongest = examples.with_columns(top=pl.col("activations").list.max())
    for name, peak in strongest.filter(pl.col("rank") == 0).select("latent", "top").iter_rows():
        assert peak == pytest.approx(latents["max"][name], rel=1e-3)
    assert (examples["tokens"].list.len() == examples["activations"].list.len()).all()
    kl = pl.read_parquet(out / "evidence" / "kl.parquet")
    behaviours = pl.read_parquet(out / "evidence" / "behaviours.parquet")
    assert (out / "evidence" / "run.json").exists()
    if kind == "base-sae":
        assert len(kl) == len(behaviours) == 0
        return
    assert kl["conversation"].n_unique() == 3
    assert bool((kl["kl"] >= -1e-4).all())
    told = json.loads((out / "evidence/run.json").read_text())["results"]
    assert told["called"] == 20
    assert all(latent % 2 == 0 for latent in told["chosen"]["own-name"]["called"]["latents"])
    assert set(behaviours["subject"]) == {"best", "random-0", "called", "called-random-0"}
    assert len(behaviours) == 2 * 2 * 4
    generated = behaviours.drop_nulls("present").select("subject", "edit").unique().rows()
    assert sorted(generated) == [
        ("best", "add"), ("best", "remove"), ("called", "remove"), ("random-0", "add"), ("random-0", "remove"),
    ]  # fmt: skip
    assert bool((behaviours["logprob"] < 0).all())
    elsewhere = pl.read_parquet(out / "evidence/collateral.parquet")
    assert set(elsewhere["subject"]) == {"best", "called"}
    assert len(elsewhere) == 2 * 2 * 3
    assert bool((elsewhere["kl"] >= -1e-4).all())
    detection = pl.read_parquet(out / "evidence/detection.parquet")
    assert detection.group_by("subject", "shows").len().sort("subject", "shows")["len"].to_list() == [2] * 4
    assert bool((detection["score"] - (detection["chat"] - detection["base"])).abs().max() < 1e-5)


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae", "base-sae"])
def test_latents_leave_as_csv_and_every_column_is_documented(study, llama_pair, tmp_path, kind):
    save(make_dictionary(kind, width=32, latents=40), tmp_path / "dictionary")
    attribute(
        ATTRIBUTION, pair=llama_pair.json, dictionary=tmp_path / "dictionary", activations=study / "manifest.json",
        rows=study / "rows.parquet", out=tmp_path / "some-seed0.parquet", threads=1,
    )  # fmt: skip
    csv(tmp_path / "some-seed0.parquet", tmp_path / "latents.csv")
    table, written = pl.read_parquet(tmp_path / "some-seed0.parquet"), pl.read_csv(tmp_path / "latents.csv")
    assert written.columns == [*table.columns, "description"]
    assert written["histogram"][3] == " ".join(str(count) for count in table["histogram"][3])
    assert written["frequency"].to_list() == pytest.approx(table["frequency"].to_list(), rel=1e-6)
    documented = column_patterns()
    unknown = [name for name in written.columns if not any(re.fullmatch(known, name) for known in documented)]
    assert unknown == []


def test_latents_are_measured_on_the_tokens_of_the_split_that_is_asked_for(study, llama_pair, tmp_path):
    dictionary = make_dictionary(width=32, latents=40)
    save(dictionary, tmp_path / "dictionary")
    frequencies = []
    for split in ("train", "validation"):
        settings = dump(Attribution(split=split, blocks=4))
        attribute(
            settings, pair=llama_pair.json, dictionary=tmp_path / "dictionary", activations=study / "manifest.json",
            rows=study / "rows.parquet", out=tmp_path / f"{split}-seed0.parquet", threads=1,
        )  # fmt: skip
        view = Stored.open(study / "manifest.json").view(split)
        f_BF = dictionary.encode(torch.cat([block.x_BLD for block in view.blocks(500)]).float())
        frequencies.append(pl.read_parquet(tmp_path / f"{split}-seed0.parquet")["frequency"].to_list())
        assert frequencies[-1] == pytest.approx((f_BF > 0).double().mean(0).tolist(), abs=1e-3)
        told = json.loads((tmp_path / f"{split}-seed0.run.json").read_text())["results"]
        assert (told["split"], told["tokens"]) == (split, view.tokens)
    assert frequencies[0] != pytest.approx(frequencies[1], abs=1e-3)


EVERY_GROUP = {
    "crosscoder": {
        "all", "all-with-bias", "error", "delta-0.7", "nu-0.6", "nu-0.3", "bias", "minus-bias",
        *(f"{end}-{by}{form}" for end in ("best", "worst") for by in ("delta", "nu") for form in ("", "-additive")),
    },
    "diff-sae": {
        "full", "error", "bias", "nu-0.6", "nu-0.3", "nu-0.1", "minus-bias", "opposite-nu",
        *(f"{end}-nu{form}" for end in ("best", "worst") for form in ("", "-with-bias")),
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", EVERY_GROUP)
def test_every_intervention_that_the_config_names_is_patched(study, llama_pair, tmp_path, kind):
    """All groups, five random sets, and the study's way to choose the candidates that the halves are taken from."""
    save(make_dictionary(kind, width=32, latents=40), tmp_path / "dictionary")
    given = {"pair": llama_pair.json, "activations": study / "manifest.json", "rows": study / "rows.parquet"}
    given |= {"dictionary": tmp_path / "dictionary", "threads": 1}
    attribute(ATTRIBUTION, out=tmp_path / "some-seed0.parquet", **given)
    settings = {"interventions": get_args(Group), "random_sets": 5, "candidate_nu": (-1e9, 1e9), "conversations": 3}
    sizes = {}
    for wanted in (8, 20):
        ask(
            dump(Evidence(candidate_latents=wanted, resamples=50, **settings)), latents=tmp_path / "some-seed0.parquet",
            shared_=study / "baselines/shared.safetensors", out=tmp_path / "evidence", **given,
        )  # fmt: skip
        kl = pl.read_parquet(tmp_path / "evidence/kl.parquet")
        assert set(kl["intervention"]) == EVERY_GROUP[kind] | {f"random-{number}" for number in range(5)}
        sizes[wanted] = json.loads((tmp_path / "evidence/run.json").read_text())["results"]["sets"]
    assert 0 < sizes[8]["best-nu"] <= 4 < sizes[20]["best-nu"] <= 10
    assert sizes[20]["random-4"] == sizes[20]["best-nu"]


def column_patterns() -> list[str]:
    """The columns that docs/dictionaries.md names, as patterns: a word in capitals or a * stands for any name."""
    page = (Path(__file__).parents[2] / "docs/dictionaries.md").read_text()
    section = page.partition("## Columns of the latent table")[2].partition("\n## ")[0]
    named = [name for row in section.splitlines() if row.startswith("|") for name in re.findall("`([^`]+)`", row)]
    return [re.sub(r"[A-Z]+|\*", "[a-z]+", name) for name in named]


def test_baselines_need_no_dictionary(study):
    kl = pl.read_parquet(study / "baselines/kl.parquet")
    assert set(kl["intervention"]) == {"none", "template", "outliers", "components", "base", "chat-to-base"}
    edited = {"mean-difference", "mean-difference-roles", "pca"}
    assert set(pl.read_parquet(study / "baselines/behaviours.parquet")["subject"]) == edited | {"none"}
    assert set(pl.read_parquet(study / "baselines/collateral.parquet")["subject"]) == edited
    assert set(pl.read_parquet(study / "baselines/detection.parquet")["subject"]) == {"mean-difference", "pca", "kl"}
    told = json.loads((study / "baselines/run.json").read_text())["results"]["kl"]["all"]
    assert told["none"]["recovered"]["mean"] == pytest.approx(0)
    assert told["none"]["kl"]["n"] == 3


def test_a_dictionary_without_its_latents_is_refused(study, llama_pair, tmp_path):
    with pytest.raises(UserError, match="--latents"):
        ask(
            EVIDENCE, pair=llama_pair.json, activations=study / "manifest.json", rows=study / "rows.parquet",
            dictionary=tmp_path, out=tmp_path, threads=1,
        )  # fmt: skip
    assert not (tmp_path / "run.json").exists()


def test_a_latent_table_without_its_seed_is_refused(tmp_path):
    assert seed_of(tmp_path / "diff-sae-seed12.parquet") == 12
    with pytest.raises(UserError, match="NAME-seedN"):
        seed_of(tmp_path / "latents.parquet")


def test_behaviours_that_never_show_leave_empty_tables(study, llama_pair, tmp_path):
    answers = pl.read_parquet(study / "answers.parquet")
    answers.with_columns(present_chat=pl.lit(False), spans_chat=pl.col("spans_chat").list.head(0)).write_parquet(
        tmp_path / "answers.parquet"
    )
    ask(
        EVIDENCE, pair=llama_pair.json, activations=study / "manifest.json", rows=study / "rows.parquet",
        answers=tmp_path / "answers.parquet", out=tmp_path / "baselines", threads=1,
    )  # fmt: skip
    for name in ("behaviours", "collateral", "detection"):
        assert pl.read_parquet(tmp_path / f"baselines/{name}.parquet").is_empty()
    assert not pl.read_parquet(tmp_path / "baselines/kl.parquet").is_empty()


def test_what_dictionaries_share_is_refused_where_it_is_of_other_texts(study, llama_pair, tmp_path):
    pl.read_parquet(study / "rows.parquet").reverse().with_columns(
        row=pl.int_range(pl.len(), dtype=pl.UInt32)
    ).write_parquet(tmp_path / "rows.parquet")
    save(make_dictionary("diff-sae", width=32, latents=40), tmp_path / "dictionary")
    attribute(
        ATTRIBUTION, llama_pair.json, tmp_path / "dictionary", study / "manifest.json", study / "rows.parquet",
        tmp_path / "some-seed0.parquet", threads=1,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"--shared .*: it was read on other conversations"):
        ask(
            EVIDENCE, pair=llama_pair.json, activations=study / "manifest.json", rows=tmp_path / "rows.parquet",
            dictionary=tmp_path / "dictionary", latents=tmp_path / "some-seed0.parquet",
            shared_=study / "baselines/shared.safetensors", out=tmp_path / "evidence", threads=1,
        )  # fmt: skip
