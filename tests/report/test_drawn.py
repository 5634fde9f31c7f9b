"""What the study drew: numbers over all latents, and figures that show the tables they are drawn from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from study_files import Written, edit, make_config, report, write_study

from crossdiff.report.collect import Dictionary, collect
from crossdiff.report.figures import cosines, frequency, places, ranks, scaling, scatter, spreads, thresholds, twins
from crossdiff.report.figures.files import table
from crossdiff.report.figures.norms import delta_norm
from crossdiff.report.figures.theme import Figure


@pytest.fixture(scope="module")
def crosscoder(planted: Written) -> Dictionary:
    """The L1 crosscoder: chat-only latents and twins."""
    return collect(planted.config, planted.root).dictionaries[0]


def figure_of(drawn: Figure | None) -> Figure:
    assert drawn
    return drawn


def values(planted: Written, seed: int, **where: Any) -> pl.DataFrame:
    return pl.read_parquet(planted.root / f"latents/crosscoder-l1-seed{seed}.comparisons.parquet").filter(**where)


def test_numbers_are_those_of_the_tables_over_seeds(planted: Written) -> None:
    found = planted.metrics["dictionaries"]["crosscoder-l1"]
    for path, where in (
        (("correlation", "pearson", "delta_norm_nu_error"), {"quantity": "pearson_delta_norm_nu_error"}),
        (("overlap", "chat-only", "nu_error", "normal"), {"quantity": "overlap_nu_error_normal",
                                                           "group": "chat-only in shared"}),
        (("overlap", "chat-only", "nu_error", "normal50"), {"quantity": "overlap_nu_error_normal50",
                                                             "group": "chat-only in shared"}),
        (("spread", "nu_error", "balanced", "lower"), {"quantity": "nu_error", "at": 0.25,
                                                       "group": "chat-only and as many shared"}),
        (("undefined", "nu_reconstruction"), {"quantity": "nu_reconstruction_undefined"}),
        (("below", "activation", "0.3", "frequency"), {"quantity": "nu_activation_below_frequency", "at": 0.3}),
        (("below", "reconstruction_and_error", "0.6", "latents"), {"quantity": "nu_reconstruction_and_error_below",
                                                                  "at": 0.6}),
    ):  # fmt: skip
        each = [values(planted, seed, **where)["value"].item() for seed in (0, 1)]
        leaf: Any = found
        for name in path:
            leaf = leaf[name]
        assert leaf["mean"] == pytest.approx(np.mean(each)), path
        assert leaf["low"] <= leaf["mean"] <= leaf["high"]
        assert leaf["n"] == 2
    mean = values(planted, 1, quantity="enc_cosine", group="shared").filter(pl.col("at").is_null())["value"].item()
    assert found["seeds"]["1"]["cosine"]["encoder"]["shared"] == mean
    pairs = pl.read_parquet(planted.root / "latents/crosscoder-l1-seed0.twins.parquet").filter(kind="twin")
    one = found["seeds"]["0"]["twins"]
    assert one["pairs"] == 6
    assert one["divergence"] == pytest.approx(pairs["divergence"].drop_nulls().mean())
    assert planted.metrics["dictionaries"]["crosscoder-batchtopk"]["seeds"]["0"]["twins"] == {"pairs": 0}
    assert "twins" not in planted.metrics["dictionaries"]["chat-sae"]


def test_the_page_says_where_there_are_no_twins(planted: Written) -> None:
    section = planted.page.partition('<section id="drawn">')[2].partition("</section>")[0]
    assert "so there is nothing to compare" in section
    assert section.count("so there is nothing to compare") == 1
    assert (planted.root / "report/figures/twins-crosscoder-l1.svg").is_file()
    assert not (planted.root / "report/figures/twins-crosscoder-batchtopk.svg").exists()


def test_every_pair_is_drawn_with_its_control(crosscoder: Dictionary) -> None:
    figure = figure_of(twins.twins(crosscoder))
    drawn = table(figure).filter(variable="chat latent active, given the base one")
    assert dict(drawn["kind"].value_counts().iter_rows()) == {"twins": 12, "false twins": 12}


def test_cosines_have_the_quantiles_of_the_table(planted: Written, crosscoder: Dictionary) -> None:
    drawn = table(figure_of(cosines.cosines(crosscoder)))
    assert set(drawn["panel"]) == {"decoder rows", "encoder columns"}
    one = drawn.filter(panel="decoder rows", group="shared", seed=1)
    for at, name in ((0.05, "q05"), (0.5, "q50"), (0.95, "q95")):
        exact = values(planted, 1, quantity="cosine", group="shared", at=at)["value"].item()
        assert one[name].item() == pytest.approx(exact, rel=1e-5)


def test_curves_are_the_counts_of_every_seed(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    figures = {figure.name: figure for figure in thresholds.thresholds(study)}
    assert len(figures) == 4
    drawn = table(figures["below-activation"])
    assert drawn.select("dictionary", "seed").unique().height == 8
    live = study.dictionaries[3].runs[1].latents.filter(~pl.col("dead"))
    counts = drawn.filter(dictionary="chat-sae", seed=1)
    for at, value in counts.select("at", "value").iter_rows():
        assert value == (live["nu_activation"].abs() < at).sum()
    assert set(table(figures["below-reconstruction-and-error-frequency"])["dictionary"]) == set(study.names[:2])


def test_ranks_end_with_every_latent_found(planted: Written, crosscoder: Dictionary) -> None:
    figure = figure_of(ranks.ranks([crosscoder], [crosscoder.name]))
    drawn = table(figure).filter(layer="by Δ_norm", seed=0)
    assert drawn["share"].to_list() == pytest.approx([(place + 1) / 100 for place in range(100)])
    live = crosscoder.runs[0].latents.filter(~pl.col("dead"))
    assert drawn["rank"].is_between(1, live.height).all()
    # In the made-up study the latents of lowest ν are those of high Δ_norm, far before chance.
    assert drawn.filter(pl.col("rank") <= 30).height > 10
    chance = table(figure).filter(layer="by chance")
    assert chance["share"].to_list()[-1] == 1


def test_frequencies_of_a_class_add_up(crosscoder: Dictionary) -> None:
    drawn = table(frequency.by_class(crosscoder))
    totals = drawn.group_by("kind").agg(pl.col("share").sum())
    assert totals["share"].to_list() == pytest.approx([1] * totals.height, rel=1e-4)
    assert {kind.partition(" (")[0] for kind in totals["kind"]} <= {"chat-only", "base-only", "shared", "other"}


def test_frequency_by_source_leaves_out_what_is_never_active(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    drawn = table(figure_of(frequency.by_source(study)))
    for row in drawn.iter_rows(named=True):
        run = next(r for d in study.dictionaries for r in d.runs if (r.name, r.seed) == (row["panel"], row["seed"]))
        active = run.latents.filter(~pl.col("dead") & (pl.col(f"frequency_{row['group']}") > 0))
        assert row["active"] == active.height
    assert drawn.height == 8 * 2


def test_bins_of_a_frequency_hold_it() -> None:
    found = frequency.binned(pl.Series([0.002, 0.002, 0.5]))
    assert found["share"].sum() == pytest.approx(1)
    assert found.filter(pl.col("share") > 0)["frequency"].to_list() == pytest.approx([10**-2.7, 10**-0.3])
    assert found["share"].to_list()[0] == found["share"].to_list()[-1] == 0


def test_quantiles_are_values() -> None:
    found = spreads.quantiles(pl.Series([3.0, 1.0, 2.0]))
    assert list(found) == ["q05", "q25", "q50", "q75", "q95"]
    assert (found["q05"], found["q50"], found["q95"]) == (1, 2, 3)


def test_places_add_up_to_the_template_share(crosscoder: Dictionary) -> None:
    drawn = table(figure_of(places.places(crosscoder)))
    assert drawn["place"].unique(maintain_order=True).to_list() == [
        "start → user  1  <user>", "user → assistant  1  ↵", "user → assistant  2  Ass", "assistant → end  1  <end>",
    ]  # fmt: skip
    live = crosscoder.runs[0].latents.filter(~pl.col("dead"))
    every = drawn.filter(pl.col("kind").str.starts_with("all live"))["share"].sum()
    assert every == pytest.approx(live["template_share"].mean(), rel=1e-4)


def test_a_long_template_is_cut_to_its_busiest_places() -> None:
    rows = pl.DataFrame({"place": [str(n) for n in range(40)], "share": [n / 100 for n in range(40)], "kind": "a"})
    shown, left_out = places.kept(rows)
    assert left_out == 16
    assert shown["place"].to_list() == [str(n) for n in range(16, 40)]


def test_latents_of_the_template_are_overlaid(crosscoder: Dictionary) -> None:
    live = crosscoder.runs[0].latents.filter(~pl.col("dead"))
    drawn = table(scaling.nu_and_template(crosscoder))
    counts = dict(drawn.group_by("kind").agg(pl.col("count").sum()).iter_rows())
    inside = live.filter(pl.col("nu_activation").is_between(*scaling.RANGE))
    rest = pl.col("user_share") + pl.col("assistant_share")
    mostly = inside.filter(pl.col("template_share") > rest).height
    assert counts == {"all live": inside.height, "mostly on template tokens": mostly}


def test_marginals_are_shares_of_each_group(crosscoder: Dictionary) -> None:
    drawn = table(scatter.nu_scatter(crosscoder))
    for layer in ("marginal of ν_ε", "marginal of ν_r"):
        totals = drawn.filter(layer=layer).group_by("group").agg(pl.col("share").sum())
        assert totals["share"].to_list() == pytest.approx([1] * totals.height, rel=1e-4)
        assert totals.height >= 2


def test_the_base_direction_is_drawn_with_the_models_exchanged(planted: Written, crosscoder: Dictionary) -> None:
    live = crosscoder.runs[0].latents.filter(~pl.col("dead"))
    taken = live.filter((pl.col("nu_error_base").abs() < 0.2) & (pl.col("nu_reconstruction_base").abs() < 0.5))
    drawn = table(scatter.nu_scatter(crosscoder, "base")).filter(layer="marked latents")
    own = drawn.filter(group="base-specific by ν")
    assert own.height == taken.height > 0
    assert sorted(own["nu_error"].to_list()) == pytest.approx(sorted(taken["nu_error_base"].to_list()), abs=1e-3)
    chats = table(scatter.nu_scatter(crosscoder)).filter(layer="marked latents", group="chat-specific by ν")
    assert chats.height > 0
    assert sorted(chats["nu_error"].to_list()) != sorted(own["nu_error"].to_list())
    assert (planted.root / "report/figures/nu-scatter-base-crosscoder-l1.svg").is_file()


def test_the_inset_shows_what_is_close_to_1(planted: Written, crosscoder: Dictionary, tmp_path: Path) -> None:
    drawn = table(delta_norm(crosscoder))
    near = crosscoder.runs[0].latents.filter(~pl.col("dead") & (pl.col("delta_norm") > 0.9)).height
    assert drawn.filter(pl.col("layer") == "0.9 to 1", pl.col("kind") == "chat-only")["count"].sum() == near > 0
    config = make_config(planted=False, seeds=(0,), names=("crosscoder-l1",))
    write_study(tmp_path, config)
    low = pl.col("delta_norm") * 0 + 0.5
    edit(tmp_path / "latents/crosscoder-l1-seed0.parquet", lambda t: t.with_columns(low.alias("delta_norm")))
    spec = json.dumps(delta_norm(collect(config, tmp_path).dictionaries[0]).spec)
    assert "0.9 to 1" not in spec
    page = report(tmp_path, config).page
    assert "None lies above 0.9" in page
