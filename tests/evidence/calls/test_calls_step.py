"""The step on small files: what it writes with and without nulls, for one seed and for several, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made import make_dictionary
from null_latents import make_latents, make_null

from crossdiff.dictionaries import save
from crossdiff.errors import UserError
from crossdiff.evidence.calls.__main__ import agreed, main
from crossdiff.evidence.calls.nulls import TRUTH
from crossdiff.parsing import dump
from crossdiff.parts.calibration import Calibration

F = 800


def put_firing(root: Path, seed: int, shift: int = 0, pairs: bool = False) -> None:
    """Latents that each fire on three tokens of their own; ``shift`` moves those of every second latent, of ``pairs``
    both fire on the first one's."""
    latent = np.arange(F, dtype=np.uint32).repeat(3)
    token = 3 * latent + np.tile(np.arange(3, dtype=np.uint32), F) + shift * (latent % 2)
    token -= np.uint32(3 * pairs) * (latent % 2)
    pl.DataFrame(
        {"latent": latent, "token": token.astype(np.uint32), "level": np.full(3 * F, 255, np.uint8)}
    ).write_parquet(root / f"pair/latents/cc-seed{seed}.firing.parquet")


def put(path: Path, columns: dict, **more) -> pl.DataFrame:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pl.DataFrame(columns).with_columns(
        template_share=pl.lit(0.1), template_share_se=pl.lit(0.05), **{name: pl.lit(v) for name, v in more.items()}
    )
    table.write_parquet(path)
    return table


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two seeds of one dictionary; three seeds of a null pair; a synthetic benchmark of three seeds."""
    for seed in (0, 1):
        put(tmp_path / f"pair/latents/cc-seed{seed}.parquet", make_latents(seed, latents=F)[0])
        save(make_dictionary(latents=F, seed=seed), tmp_path / f"pair/dictionaries/cc-seed{seed}")
        put_firing(tmp_path, seed)
    save(make_dictionary(latents=F, seed=0), tmp_path / "pair/dictionaries/cc-seed1")
    parts = []
    for seed in (0, 1, 2):
        put(tmp_path / f"none/latents/cc-seed{seed}.parquet", make_null(seed + 50, latents=F))
        pair, classes = make_latents(seed + 60, latents=F, unmatched=0.2)
        for world, columns, truth in (("pair", pair, classes), ("null", make_null(seed + 70, latents=F), None)):
            names = [None] * F if truth is None else [name or "none" for name in truth]
            table = put(tmp_path / "x.parquet", columns, world=world, dictionary="cc", seed=seed)
            parts.append(table.with_columns(pl.Series(TRUTH, names, dtype=pl.String)))
    pl.concat(parts).write_parquet(tmp_path / "synthetic.parquet")
    return tmp_path


def run(root: Path, seeds=(0, 1), nulls=(0, 1, 2), synthetic=True, **settings):
    """The step's table and the results of its record."""
    out = root / "pair/calls/cc.parquet"
    main(
        dump(Calibration(**settings)), "cc", list(seeds), root / "pair", out,
        [root / f"none/latents/cc-seed{seed}.parquet" for seed in nulls],
        root / "synthetic.parquet" if synthetic else None,
    )  # fmt: skip
    return pl.read_parquet(out), json.loads(out.with_name("cc.run.json").read_text())["results"]


def test_one_row_a_latent_and_seed(study):
    table, results = run(study, q=0.1)
    assert len(table) == 2 * F
    assert table.select(pl.struct("seed", "latent").is_unique().all()).item()
    for seed in (0, 1):
        mine, classes = table.filter(pl.col("seed") == seed), make_latents(seed, latents=F)[1]
        called = (mine["call"] == "chat-specific").to_numpy()
        assert called.sum() == results["counts"]["calibrated"]["chat-specific"][seed] > 0
        assert (classes[called] == "chat-only").mean() > 0.7
        assert (mine.filter(called)["q_chat_specific"] <= 0.1).all()
    assert 2 * F < results["power"]["chat-specific"]["nulls"] <= 3 * F, "the synthetic null's latents alone"
    inside = table.filter(pl.col("nu_centred_low").is_not_null())
    assert (inside["nu_centred_low"] < inside["nu_centred"]).all()
    assert (inside["nu_centred"] < inside["nu_centred_high"]).all()
    for call, statistic in (("chat-specific", "nu_centred"), ("base-specific", "nu_centred_base")):
        of_call = table.filter(call=call)
        assert set(of_call["tested_by"]) == {statistic}
        for end in ("", "_low", "_high"):
            assert of_call[f"tested{end}"].to_list() == of_call[f"{statistic}{end}"].to_list()


def test_calls_are_upheld_where_the_null_tune_has_nothing_like_them(study):
    table, results = run(study)
    called = table.filter(pl.col("call").is_in(["chat-specific", "base-specific", "rotated", "rescaled"]))
    assert called["upheld"].mean() > 0.9, "this null tune changed nothing"
    assert not table.filter(pl.col("call") == "none")["upheld"].any()
    assert sum(results["counts"]["upheld"]["chat-specific"]) == len(
        called.filter((pl.col("call") == "chat-specific") & pl.col("upheld"))
    )
    assert {"calibrated", "upheld"} <= results["stability"].keys()
    strict = results["power_upheld"]["chat-specific"]
    assert 2 * F < strict["nulls"] <= 3 * F, "the null tune's latents alone"
    assert max(strict["least_calls"]) <= results["counts"]["upheld"]["chat-specific"][0]


def test_a_null_tune_that_changes_as_much_upholds_nothing(study):
    for seed in (0, 1, 2):
        put(study / f"none/latents/cc-seed{seed}.parquet", make_latents(seed + 50, latents=F)[0])
    table, results = run(study)
    assert min(results["counts"]["calibrated"]["chat-specific"]) > 10
    assert results["counts"]["upheld"]["chat-specific"] == [0, 0]
    assert not table["upheld"].any()


def test_one_null_alone_calibrates_and_upholds_nothing_further(study):
    for given in ({"nulls": ()}, {"synthetic": False}):
        table, results = run(study, **given)
        assert min(results["counts"]["calibrated"]["chat-specific"]) > 10
        assert table["upheld"].null_count() == 2 * F
        assert "upheld" not in results["counts"]
        assert results["power_upheld"] is None


def test_every_source_is_checked_at_every_level(study):
    _, results = run(study)
    sources = {entry["source"] for entry in results["honesty"]}
    assert {"synthetic null", "synthetic pair", "real null", "real null, calibrated on synthetic"} <= sources
    for entry in results["honesty"]:
        assert len(entry["observed"]) == len(entry["recall"]) == len(entry["seed"]) == 3
    levels = {e["nominal"] for e in results["honesty"] if e["source"] == "synthetic pair"}
    assert levels == {None, 0.05, 0.1, 0.2}
    mine = [
        e for e in results["honesty"]
        if (e["source"], e["call"], e["nominal"]) == ("synthetic pair", "chat-specific", 0.2)
    ]  # fmt: skip
    assert np.mean(mine[0]["observed"]) <= 0.3
    assert np.mean(mine[0]["recall"]) > 0.5
    assert sum(mine[0]["unmatched"]) > 0


def test_the_same_decoder_from_two_seeds_comes_back(study):
    table, results = run(study)
    assert (table["reappears"] == 1).all()
    assert results["stability"]["all"]["reappears"]["mean"] == 1
    same = table.filter(pl.col("seed") == 0)["consensus"].to_list()
    assert same == table.filter(pl.col("seed") == 1)["consensus"].to_list()
    both = table.pivot("seed", index="latent", values="call")
    for row in both.join(table.filter(pl.col("seed") == 0), on="latent").iter_rows(named=True):
        assert row["consensus_call"] == (row["0"] if row["0"] == row["1"] else None)
    agree = both.filter((pl.col("0") == "chat-specific") & (pl.col("1") == "chat-specific"))["latent"].to_list()
    assert results["consensus"] == [{"0": latent, "1": latent} for latent in agree]
    assert results["features"] == [F, F]
    assert results["distinct"]["calibrated"]["chat-specific"] == results["counts"]["calibrated"]["chat-specific"]


def test_latents_that_both_seeds_call_are_told_beside_what_chance_would_give(study):
    """Both seeds have the same dictionary and the same latents, so that every call of one is one of the other."""
    put(study / "pair/latents/cc-seed1.parquet", make_latents(0, latents=F)[0])
    _, results = run(study)
    called = results["counts"]["calibrated"]["chat-specific"][0]
    named = results["stability"]["calibrated"]
    assert named["in_most"] == named["in_all"] == len(results["consensus"]) == called > 0
    assert named["in_most_chance"]["mean"] == pytest.approx(F * (called / F) ** 2, rel=0.05)
    assert named["in_most_chance"]["high"] < called


def test_copies_of_a_latent_are_counted_once(study):
    """Each latent of seed 0 gets a twin with its decoder, which fires on its tokens; seed 1 stays as it is."""
    dictionary = make_dictionary(latents=F, seed=0)
    dictionary.decoder[:, 1::2] = dictionary.decoder[:, ::2]
    save(dictionary, study / "pair/dictionaries/cc-seed0")
    put_firing(study, 0, pairs=True)
    table, results = run(study)
    assert results["features"] == [F // 2, F]
    named = table.filter(pl.col("seed") == 0, pl.col("call") == "chat-specific")["latent"]
    assert results["distinct"]["calibrated"]["chat-specific"][0] == (named // 2).n_unique() <= len(named)


def test_latents_that_fire_apart_do_not_come_back(study):
    put_firing(study, 1, shift=3 * F)
    table, results = run(study)
    assert table.sort("seed", "latent")["reappears"].to_list() == [1.0, 0.0] * F
    both = results["stability"]["all"]
    assert (both["reappears"]["mean"], both["reappears_decoder"]["mean"]) == (0.5, 1.0)


def test_the_consensus_list_names_each_agreed_latent_by_seed():
    table = pl.DataFrame({
        "seed": [0, 0, 1, 1, 2], "latent": [5, 8, 8, 3, 1], "consensus": [4, 2, 4, 2, None],
        "consensus_call": ["chat-specific", "none", "chat-specific", "none", None],
    })  # fmt: skip
    assert agreed(table) == [{"0": 5, "1": 8}]
    assert agreed(table.filter(pl.col("consensus") == 2)) == []


def test_one_seed_refuses_stability_in_words(study):
    table, results = run(study, seeds=(0,))
    assert table["reappears"].null_count() == table["consensus"].null_count() == F
    assert "one seed" in results["stability"]["refused"]
    assert results["consensus"] is None
    assert results["counts"]["calibrated"]["chat-specific"][0] > 0


def test_without_nulls_nothing_is_called(study):
    table, results = run(study, nulls=(), synthetic=False)
    assert table["call"].null_count() == 2 * F
    assert "calibrated" not in results["counts"]
    assert results["honesty"] == []
    assert results["counts"]["nu_pair"]["chat-specific"][0] > 0


def test_wrong_files_are_named(study):
    with pytest.raises(UserError, match="no such input file"):
        run(study, nulls=(9,))
    (study / "none/latents/other-seed0.parquet").write_bytes((study / "none/latents/cc-seed0.parquet").read_bytes())
    with pytest.raises(UserError, match="not a latent table of cc"):
        main(
            dump(Calibration()),
            "cc",
            [0],
            study / "pair",
            study / "o.parquet",
            [study / "none/latents/other-seed0.parquet"],
        )
    old = pl.read_parquet(study / "none/latents/cc-seed0.parquet").drop("active_blocks")
    old.write_parquet(study / "none/latents/cc-seed0.parquet")
    with pytest.raises(UserError, match=r"active_blocks.*run attribution"):
        run(study)
    pl.read_parquet(study / "synthetic.parquet").with_columns(dictionary=pl.lit("sae")).write_parquet(
        study / "synthetic.parquet"
    )
    with pytest.raises(UserError, match="no null latents of cc"):
        run(study, nulls=())


def test_latents_are_not_their_own_null(study):
    own = study / "pair/latents/cc-seed0.parquet"
    with pytest.raises(UserError, match=r"--null .*cc-seed0\.parquet: these are the latents that are to be called"):
        main(dump(Calibration()), "cc", [0, 1], study / "pair", study / "calls.parquet", [own])
