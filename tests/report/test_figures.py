"""Figures: right data, valid specifications, colours that a dark page knows."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from altair.vegalite.v6.schema.core import Root
from hypothesis import given
from hypothesis import strategies as st
from study_files import Written

from crossdiff.report.collect import collect
from crossdiff.report.figures import kl, theme
from crossdiff.report.figures.files import table
from crossdiff.report.figures.layers import sweep
from crossdiff.report.figures.norms import delta_norm
from crossdiff.report.figures.nulls import margins
from crossdiff.report.figures.panels import histogram
from crossdiff.report.figures.places import places
from crossdiff.report.figures.scatter import cells
from crossdiff.report.figures.seeds import spread
from crossdiff.report.figures.template import template_share
from crossdiff.report.figures.training import thinned


@given(st.lists(st.floats(-2, 3, allow_nan=False, width=32), max_size=60))
def test_histogram_counts_each_value_once(values: list[float]) -> None:
    series = pl.Series(values, dtype=pl.Float64)
    found = histogram(series, 0, 1, 10)
    assert found["count"].sum() == sum(0 <= value <= 1 for value in values)
    for left, right, count in found.iter_rows():
        near = sum(left - 1e-6 <= value <= right + 1e-6 for value in values)
        assert 0 < count <= near


def test_histogram_of_midpoints_is_numpys() -> None:
    values = (np.random.default_rng(0).integers(0, 50, 500) + 0.5) / 50
    counts, edges = np.histogram(values, 50, (0, 1))
    found = histogram(pl.Series(values), 0, 1, 50)
    assert found["count"].to_list() == counts[counts > 0].tolist()
    assert found["left"].to_numpy() == pytest.approx(edges[:-1][counts > 0])


def test_cells_hold_all_latents() -> None:
    rng = np.random.default_rng(1)
    table = pl.DataFrame({"nu_error": rng.uniform(-0.2, 1.2, 400), "nu_reconstruction": rng.uniform(-0.2, 1.2, 400)})
    assert cells(table, 20)["count"].sum() == 400


def test_curves_keep_their_last_point() -> None:
    rows = pl.DataFrame({"step": range(1, 1002), "value": 0.0})
    found = thinned(rows)
    assert found.height <= 202
    assert found["step"].to_list()[-1] == 1001
    assert found["step"].is_sorted()


def test_all_figures_are_written_with_their_specification(planted: Written) -> None:
    folder = planted.root / "report/figures"
    stems = {path.name.removesuffix(".vl.json") for path in folder.glob("*.vl.json")}
    assert stems == {path.stem for path in folder.glob("*.svg")} == {path.stem for path in folder.glob("*.csv")}
    assert "kl-recovered" in stems
    assert (folder / "kl-recovered.png").read_bytes().startswith(b"\x89PNG")
    expected = {"delta-norm-crosscoder-l1", "nu-scatter-crosscoder-batchtopk", "nu-diff-sae", "kl-all", "kl-first9"}
    expected |= {"kl-later"}
    expected |= {
        "template-chat-sae",
        "behaviours-remove",
        "behaviours-add",
        "training-fve",
        "training-l0",
        "training-dead",
    }
    assert expected <= stems
    for path in folder.glob("*.vl.json"):
        spec = json.loads(path.read_text())
        assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
        Root.validate(spec)  # raises for what Vega-Lite's schema does not know


def test_every_colour_has_a_partner_on_a_dark_page(planted: Written) -> None:
    colours = set()
    for path in (planted.root / "report/figures").glob("*.svg"):
        colours |= set(re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]+|[a-z]+)"', path.read_text()))
    assert colours <= set(theme.DARK) | {"none", "transparent"}
    assert {theme.INK, theme.CHAT, theme.BASE} <= colours


def test_figures_draw_the_numbers(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    main = kl.recovered(study, planted.metrics, False)
    points = [row for data in datasets(main.spec) for row in data if row.get("part") == "whole dictionary"]
    shown = {row["dictionary"]: row for row in points}
    for name, key in (("diff-sae", "full"), ("crosscoder-l1", "all-with-bias")):
        leaves = [planted.metrics["dictionaries"][name]["kl_recovered"][place][key] for place in ("all", "first9")]
        assert any(shown[name]["share"] == pytest.approx(leaf["mean"], rel=1e-5) for leaf in leaves)
    assert "chat-sae" not in shown


def datasets(spec: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """All inline data of a specification."""
    return list(spec["datasets"].values()) if "datasets" in spec else [spec["data"]["values"]]


def test_delta_norm_bars_are_the_latents(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    figure = delta_norm(study.dictionaries[0])
    rows = table(figure).filter(layer="0 to 1").to_dicts()
    counts = {kind: sum(row["count"] for row in rows if row["kind"] == kind) for kind in {row["kind"] for row in rows}}
    numbers = planted.metrics["dictionaries"]["crosscoder-l1"]["seeds"]["0"]
    assert counts["chat-specific by ν"] == numbers["chat_specific"]["reconstruction_and_error"]
    assert {kind: count for kind, count in counts.items() if kind in numbers["classes"]} == {
        kind: count for kind, count in numbers["classes"].items() if count
    }


def test_every_seed_is_drawn(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    figures = {figure.name: figure for figure in spread(study, planted.metrics)}
    drawn = next(rows for rows in datasets(figures["seeds-fve-pooled"].spec))
    seeds = {(row["dictionary"], row["seed"]): row["value"] for row in drawn}
    assert len(seeds) == 8
    for (name, seed), value in seeds.items():
        exact = planted.metrics["dictionaries"][name]["seeds"][seed]["fve"]["pooled"]
        assert value == pytest.approx(exact, rel=1e-5)


def test_margins_are_drawn_with_their_intervals(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    figure = next(figure for figure in margins(study, planted.metrics) if figure.name == "nulls-best-over-random")
    rows = [row for group in datasets(figure.spec) for row in group if row.get("dictionary") == "diff-sae"]
    exact = planted.metrics["dictionaries"]["diff-sae"]["margins"]
    means = [exact[place]["best_over_random"]["mean"] for place in ("all", "first9")]
    assert [row["margin"] for row in rows] == pytest.approx(means, rel=1e-5)
    assert all(row["low"] < row["margin"] < row["high"] for row in rows)


def test_the_layer_sweep_is_drawn_where_there_is_one(planted: Written, plain: Written) -> None:
    found = plain.metrics["pair"]["kl_by_layer"]
    assert set(found) == {"all", "first9", "later"}
    levels = [found["all"]["none"][str(layer)]["mean"] for layer in (0, 2, 3)]
    assert levels == sorted(levels)
    (rows,) = datasets(sweep(collect(plain.config, plain.root), plain.metrics).spec)
    drawn = [row["kl"] for row in rows if (row["positions"], row["label"]) == (
        "all assistant tokens", "base stream, unedited")]  # fmt: skip
    assert drawn == pytest.approx(levels, rel=1e-5)
    assert "At other blocks" in plain.page
    assert "At other blocks" not in planted.page
    assert "kl_by_layer" not in planted.metrics["pair"]


def test_threshold_sets_tell_their_size(planted: Written) -> None:
    assert planted.metrics["dictionaries"]["diff-sae"]["patched"]["nu-0.3"]["mean"] == 4
    level = {"nu-0.3": 0.5, "best-nu": 0.4}
    tree = {"kl": {"all": level}, "patched": {"nu-0.3": {"mean": 1465.3, "low": 1, "high": 2, "n": 2}, "best-nu": 15}}
    metrics = {"pair": {"kl": {"kl": {"all": {"none": 1.0}}}}, "dictionaries": {"diff-sae": tree}}
    labels = {row["intervention"]: row["label"] for row in kl.levels(metrics, "all")}
    assert labels == {"none": "base stream, unedited", "best-nu": "first by ν (15)", "nu-0.3": "|ν| up to 0.3 (1,465)"}


def test_what_is_far_off_does_not_set_the_axis() -> None:
    rest = {"none": 0.3, "template": 0.26}
    for base, end in ((1.764, 1.05 * 0.3), (0.4, 1.05 * 0.4)):
        metrics = {"pair": {"kl": {"kl": {"all": rest | {"base": base}}}}, "dictionaries": {}}
        figure = kl.nats(metrics, "all")
        assert f'"domain": [0, {end}]' in json.dumps(figure.spec)
        assert ("→ 1.76" in figure.svg) == (base > 1)
        assert ("leave the frame" in figure.text) == (base > 1)


def test_legends_name_no_absent_class(planted: Written) -> None:
    run = collect(planted.config, planted.root).dictionaries[1]
    first = run.runs[0]
    shared = first.latents.with_columns(pl.lit("shared").alias("class"), nu_error=pl.lit(0.9))
    without = replace(run, runs=(replace(first, latents=shared),))
    found = json.dumps(delta_norm(without).spec["hconcat" if "hconcat" in delta_norm(without).spec else "encoding"])
    assert "chat-only" not in found
    assert template_share(run) is not None
    assert template_share(without) is None
    figure = places(without)
    assert figure is not None
    assert "chat-specific" not in figure.svg
