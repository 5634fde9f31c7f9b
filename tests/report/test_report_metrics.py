"""metrics.json against plain computation from the same files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from study_files import BEHAVIOURS, Written, edit, make_config, write_study

from crossdiff.report import behaviours
from crossdiff.report.collect import collect
from crossdiff.report.latents import THIRD, on_template
from crossdiff.report.metrics import counts, metrics, template


def rows(study: Written, name: str) -> list[dict[str, Any]]:
    return pl.read_parquet(study.root / name).to_dicts()


def test_classes_and_chat_specific_counts(planted: Written) -> None:
    for seed in planted.config.seeds:
        live = [row for row in rows(planted, f"latents/crosscoder-l1-seed{seed}.parquet") if not row["dead"]]
        found = planted.metrics["dictionaries"]["crosscoder-l1"]["seeds"][str(seed)]
        for name in ("chat-only", "base-only", "shared", "other"):
            assert found["classes"][name] == sum(row["class"] == name for row in live)
        both = sum(abs(row["nu_reconstruction"]) < 0.5 and abs(row["nu_error"]) < 0.2 for row in live)
        assert 0 < both == found["chat_specific"]["reconstruction_and_error"]
        for threshold in (0.3, 0.5, 0.6):
            count = sum(row["nu_valid"] and abs(row["nu_activation"]) < threshold for row in live)
            assert 0 < count == found["chat_specific"][f"activation_{threshold}"]


def test_saes_have_no_classes_and_count_only_well_posed(planted: Written) -> None:
    found = planted.metrics["dictionaries"]["diff-sae"]
    assert "classes" not in found
    assert "reconstruction_and_error" not in found["chat_specific"]
    live = [row for row in rows(planted, "latents/diff-sae-seed0.parquet") if not row["dead"]]
    every = sum(abs(row["nu_activation"]) < 0.3 for row in live)
    assert found["seeds"]["0"]["chat_specific"]["activation_0.3"] < every
    assert found["seeds"]["0"]["nu"] == {"alive": len(live), "valid": sum(row["nu_valid"] for row in live)}


def test_seeds_are_averaged(planted: Written) -> None:
    found = planted.metrics["dictionaries"]["crosscoder-batchtopk"]
    records = [
        json.loads((planted.root / f"dictionaries/crosscoder-batchtopk-seed{s}/run.json").read_text()) for s in (0, 1)
    ]
    for name, key in (("pooled", "fve"), ("base", "fve_base"), ("chat", "fve_chat")):
        assert found["fve"][name]["mean"] == pytest.approx(np.mean([record["results"][key] for record in records]))
        assert found["fve"][name]["n"] == 2
    assert found["seconds"]["training"]["mean"] == pytest.approx(np.mean([record["seconds"] for record in records]))


def test_template_shares(planted: Written) -> None:
    live = [row for row in rows(planted, "latents/chat-sae-seed1.parquet") if not row["dead"]]
    chosen = [share_of(row) for row in live if row["nu_valid"] and abs(row["nu_activation"]) < 0.3]
    found = planted.metrics["dictionaries"]["chat-sae"]["seeds"]["1"]["template"]
    assert found["chat_specific"]["mean"] == pytest.approx(np.mean(chosen))
    assert found["chat_specific"]["mostly"] == pytest.approx(np.mean(np.array(chosen) > 0.5))
    assert found["alive"]["mean"] == pytest.approx(np.mean([share_of(row) for row in live]))
    assert found["alive"]["mean"] > np.mean([row["template_share"] for row in live])
    assert "chat_only" not in found


def share_of(row: dict[str, Any]) -> float:
    """Template share of a latent's activations on chat text."""
    return row["template_share"] / (row["template_share"] + row["user_share"] + row["assistant_share"])


def test_chat_only_latents_are_counted_apart(planted: Written) -> None:
    own = [
        row for row in rows(planted, "latents/crosscoder-l1-seed0.parquet")
        if not row["dead"] and row["class"] == "chat-only"
    ]  # fmt: skip
    found = planted.metrics["dictionaries"]["crosscoder-l1"]["seeds"]["0"]
    shares = np.array([share_of(row) for row in own])
    assert found["template"]["chat_only"]["mostly"] == pytest.approx((shares > 0.5).mean())
    assert found["template"]["chat_only"]["third"] == pytest.approx((shares >= 1 / 3).mean())
    confirmed = sum(abs(row["nu_reconstruction"]) < 0.5 and abs(row["nu_error"]) < 0.2 for row in own)
    assert 0 < found["chat_specific"]["chat_only"] == confirmed < found["chat_specific"]["reconstruction_and_error"]


def test_a_template_share_needs_activity_on_chat_text() -> None:
    shares = {"template": (0.2, 0.0, None, 0.1), "user": (0.1, 0.0, None, 0.0), "assistant": (0.1, 0.0, None, 0.2)}
    table = pl.DataFrame({f"{role}_share": pl.Series(values, dtype=pl.Float32) for role, values in shares.items()})
    found = table.select(on_template).to_series()
    assert found.to_list() == [pytest.approx(0.5), None, None, pytest.approx(1 / 3)]
    assert (found >= THIRD).to_list() == [True, None, None, True]


def test_groups_without_a_latent_have_no_template_share(planted: Written) -> None:
    item = collect(planted.config, planted.root).dictionaries[0]
    table = item.runs[0].latents.with_columns(pl.lit("shared").alias("class"), nu_error=pl.lit(0.9))
    assert set(template(item, table)) == {"alive"}
    assert counts(item, table)["chat_only"] == 0
    assert template(item, table.with_columns(dead=pl.lit(True))) == {}


def test_a_latent_that_is_silent_on_chat_text_is_not_mostly_template(planted: Written) -> None:
    item = collect(planted.config, planted.root).dictionaries[0]
    roles = {"template_share": [0.6, 0.0], "user_share": [0.1, 0.0], "assistant_share": [0.1, 0.0]}
    table = (
        item.runs[0]
        .latents.filter(~pl.col("dead"))
        .head(2)
        .with_columns(pl.Series(name, values) for name, values in roles.items())
    )
    assert template(item, table)["alive"] == {"mean": pytest.approx(0.75), "mostly": 0.5, "third": 0.5}


def mean_kl(study: Written, folders: list[str], wanted: str, positions: str) -> float:
    """Σ KL / Σ tokens over folders: all have the same conversations, so seeds weigh alike."""
    kl = tokens = 0.0
    for folder in folders:
        for row in rows(study, f"evidence/{folder}/kl.parquet"):
            if row["positions"] == positions and row["intervention"].startswith(wanted):
                kl, tokens = kl + row["kl"], tokens + row["tokens"]
    return kl / tokens


@pytest.mark.parametrize("positions", ["all", "first9"])
def test_kl_and_what_is_recovered(planted: Written, positions: str) -> None:
    folders = ["diff-sae-seed0", "diff-sae-seed1"]
    found = planted.metrics["dictionaries"]["diff-sae"]
    none = mean_kl(planted, ["baselines"], "none", positions)
    assert planted.metrics["pair"]["kl"]["kl"][positions]["none"]["mean"] == pytest.approx(none)
    for name in ("full", "best-nu", "random"):
        level = mean_kl(planted, folders, name, positions)
        leaf = found["kl"][positions][name]
        assert leaf["mean"] == pytest.approx(level)
        assert leaf["low"] < level < leaf["high"]
        assert leaf["n"] == 24
        assert found["kl_recovered"][positions][name]["mean"] == pytest.approx(1 - level / none)
    random, best = (mean_kl(planted, folders, name, positions) for name in ("random", "best-nu"))
    assert found["margins"][positions]["best_over_random"]["mean"] == pytest.approx((random - best) / none)
    assert found["margins"][positions]["best_over_random"]["low"] > 0
    components, whole = (
        mean_kl(planted, ["baselines"], "components", positions),
        mean_kl(planted, folders, "full", positions),
    )
    assert found["margins"][positions]["whole_over_components"]["mean"] == pytest.approx((components - whole) / none)
    for seed, folder in enumerate(folders):
        one = 1 - mean_kl(planted, [folder], "full", positions) / none
        assert found["seeds"][str(seed)]["kl_recovered"][positions]["full"] == pytest.approx(one)
    rest, whole = (mean_kl(planted, folders, name, positions) for name in ("error", "full"))
    assert found["margins"][positions]["rest_over_whole"]["mean"] == pytest.approx((whole - rest) / none)


def test_effects_are_changes_against_the_unedited_model(planted: Written) -> None:
    def table(folder: str, subject: str) -> dict[int, dict[str, Any]]:
        return {
            row["prompt"]: row
            for row in rows(planted, f"evidence/{folder}/behaviours.parquet")
            if (row["behaviour"], row["edit"], row["subject"]) == (BEHAVIOURS[2], "remove", subject)
        }

    none = table("baselines", "none")
    best = [table(f"crosscoder-l1-seed{seed}", "best") for seed in (0, 1)]
    change = [row["logprob"] - none[prompt]["logprob"] for part in best for prompt, row in part.items()]
    rate = [row["present"] - none[prompt]["present"] for part in best for prompt, row in part.items()]
    found = planted.metrics["dictionaries"]["crosscoder-l1"]["effects"][BEHAVIOURS[2]]["remove"]
    assert found["best"]["logprob"]["mean"] == pytest.approx(np.mean(change), rel=1e-5)
    assert found["best"]["logprob"]["n"] == len(none)
    assert found["best"]["rate"]["mean"] == pytest.approx(np.mean(rate))
    assert abs(found["random"]["logprob"]["mean"]) < 0.1


def test_answers_that_turn_are_counted_over_all_prompts(planted: Written) -> None:
    def present(folder: str, subject: str) -> dict[tuple[str, int], bool]:
        return {
            (row["behaviour"], row["prompt"]): row["present"]
            for row in rows(planted, f"evidence/{folder}/behaviours.parquet")
            if (row["edit"], row["subject"]) == ("remove", subject)
        }

    none = present("baselines", "none")
    seeds = [present(f"diff-sae-seed{seed}", "best") for seed in (0, 1)]
    share = np.mean([none[key] and not seed[key] for seed in seeds for key in none])
    found = planted.metrics["dictionaries"]["diff-sae"]["answers_turned"]["remove"]
    assert 0 < share < 1
    assert found["best"]["mean"] == pytest.approx(share)
    assert found["best"]["n"] == len(none)
    assert set(found) == {"best", "random"}


def test_strong_latents_find_every_behaviour(planted: Written) -> None:
    assert planted.metrics["dictionaries"]["diff-sae"]["behaviours_found"]["remove"]["mean"] == len(BEHAVIOURS)
    assert planted.metrics["dictionaries"]["diff-sae"]["behaviours_found"]["add"]["mean"] == len(BEHAVIOURS)
    assert planted.metrics["directions"]["mean-difference"]["behaviours_found"]["remove"] == len(BEHAVIOURS)


def found_after(tmp_path: Path, expression: pl.Expr, keep: pl.Expr | None = None) -> dict[str, int]:
    """Behaviours found by the diff-SAE after a change of its behaviours.parquet."""
    config = make_config(seeds=(0,), names=("diff-sae",))
    write_study(tmp_path, config)
    path = tmp_path / "evidence/diff-sae-seed0/behaviours.parquet"
    edit(path, lambda table: table.with_columns(expression).filter(keep if keep is not None else pl.lit(True)))
    return metrics(collect(config, tmp_path))["dictionaries"]["diff-sae"]["behaviours_found"]


def test_a_random_set_that_does_as_well_undoes_a_finding(tmp_path: Path) -> None:
    of_first = (pl.col("behaviour") == BEHAVIOURS[0]) & (pl.col("subject") == "random-1") & (pl.col("edit") == "remove")
    found = found_after(tmp_path, pl.when(of_first).then(-9.0).otherwise("logprob").alias("logprob"))
    assert found == {"remove": len(BEHAVIOURS) - 1, "add": len(BEHAVIOURS)}


def test_a_change_the_wrong_way_is_no_finding(tmp_path: Path) -> None:
    best = pl.col("subject") == "best"
    found = found_after(tmp_path, pl.when(best).then(pl.col("logprob") * 0 - 2).otherwise("logprob").alias("logprob"))
    assert found == {"remove": len(BEHAVIOURS), "add": len(BEHAVIOURS)}
    found = found_after(tmp_path, pl.when(best).then(pl.col("logprob") * 0 + 1).otherwise("logprob").alias("logprob"))
    assert found["remove"] == 0


def test_without_random_sets_nothing_is_found(tmp_path: Path) -> None:
    assert found_after(tmp_path, pl.col("logprob"), pl.col("subject") == "best") == {"remove": 0, "add": 0}


def test_the_interval_of_a_count_ends_at_the_number_of_behaviours(
    planted: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, found = collect(planted.config, planted.root), iter([0, len(BEHAVIOURS)] * 20)
    monkeypatch.setattr(behaviours, "found_by", lambda study, run: {"remove": next(found)})
    leaf = metrics(study)["dictionaries"]["diff-sae"]["behaviours_found"]["remove"]
    assert (leaf["low"], leaf["high"]) == (0, len(BEHAVIOURS))


def test_rates_of_the_planted_behaviours(planted: Written) -> None:
    answers = rows(planted, "truth/answers.parquet")
    for name in BEHAVIOURS:
        mine = [row for row in answers if row["behaviour"] == name and row["kind"] == "held-out"]
        found = planted.metrics["pair"]["behaviours"][name]
        assert found["held_out"]["chat"]["mean"] == pytest.approx(np.mean([row["present_chat"] for row in mine]))
        assert found["held_out"]["base"]["mean"] == 0 < found["held_out"]["base"]["high"]
        assert found["held_out"]["prompts"] == found["held_out"]["chat"]["n"] == len(mine)
        assert found["control"]["chat"]["mean"] == 0


def test_every_leaf_is_a_number_or_an_interval(planted: Written, plain: Written) -> None:
    def check(node: Any) -> None:
        if isinstance(node, dict):
            if "mean" in node and not isinstance(node["mean"], dict) and "n" in node:
                assert set(node) == {"mean", "low", "high", "n"}
                assert node["low"] <= node["mean"] <= node["high"]
            for value in node.values():
                check(value)
        else:
            assert isinstance(node, int | float)
            assert not isinstance(node, bool)

    for study in (planted, plain):
        check({name: part for name, part in study.metrics.items() if name not in ("calibration", "behaviours")})
        for entry in study.metrics.get("behaviours", []):
            check(entry["auroc"]["best"])
            check(entry["effect"]["best"])
        for entry in study.metrics["calibration"]:
            check({key: entry[key] for key in ("observed", "seeds", "called", "unmatched")})


def test_costs_add_up(plain: Written) -> None:
    seconds = plain.metrics["costs"]["seconds"]
    assert seconds["activations"] == json.loads((plain.root / "activations/run.json").read_text())["seconds"]
    assert {"dictionaries/chat-sae-seed3", "latents/chat-sae-seed3", "evidence/baselines"} <= set(seconds)
    assert plain.metrics["costs"]["total_seconds"] == pytest.approx(sum(seconds.values()))
