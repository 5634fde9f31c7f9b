"""What language models said of the latents, in metrics.json and on the page; nothing of it where none was asked."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import linregress

from crossdiff.config import Config
from crossdiff.evidence.interpretation.settings import Interpretation, Judge
from crossdiff.report.interpretation import correlation, squared
from crossdiff.workflow import results
from tests.report.study_files import make_config, report, write_study

JUDGE = Judge(base_url="https://models.example/v1", model="made-up-70b")


def asked(seeds: tuple[int, ...] = (3, 1)) -> Config:
    config = make_config(planted=False, seeds=seeds, names=("crosscoder-l1", "diff-sae"))
    evidence = config.evidence.model_copy(update={"interpretation": Interpretation(explainer=JUDGE)})
    return config.model_copy(update={"evidence": evidence})


def test_numbers_are_those_of_the_first_seeds_record(tmp_path: Path) -> None:
    config = asked()
    written = report(write_study(tmp_path, config), config)
    for name in ("crosscoder-l1", "diff-sae"):
        record = tmp_path / f"evidence/interpretation/{name}-seed3.run.json"
        made = json.loads(record.read_text())["results"]
        shown = written.metrics["dictionaries"][name]["interpretation"]
        assert shown["overall"] == made["overall"]
        assert shown["by_nu"] == made["by_nu"]
        assert ("by_delta" in shown) == (name == "crosscoder-l1")
        assert shown["malformed"] == {"explanations": 0, "verdicts": 1}
    sources = json.loads((tmp_path / "report/origins.json").read_text())["numbers"]
    told = sources["/dictionaries/diff-sae/interpretation"]
    assert told == [["evidence/interpretation/diff-sae-seed3.run.json", "results"]]
    assert [file for file, _ in sources["/dictionaries/diff-sae/interpretation/r2"]] == [
        "evidence/interpretation/diff-sae-seed3.parquet",
        "latents/diff-sae-seed3.parquet",
    ]


def test_r2_is_that_of_a_line_through_the_latents(tmp_path: Path) -> None:
    config = asked()
    written = report(write_study(tmp_path, config), config)
    folder = "crosscoder-l1-seed3"
    totals = pl.read_parquet(tmp_path / f"evidence/interpretation/{folder}.parquet")
    latents = pl.read_parquet(tmp_path / f"latents/{folder}.parquet").fill_nan(None)
    both = totals.join(latents.select("latent", "delta_norm"), on="latent").drop_nulls(["delta_norm", "total_similar"])
    expected = linregress(both["delta_norm"].to_numpy(), both["total_similar"].to_numpy()).rvalue ** 2
    found = written.metrics["dictionaries"]["crosscoder-l1"]["interpretation"]["r2"]
    assert found["delta_norm"]["similar"]["mean"] == pytest.approx(expected, rel=1e-6)
    assert found["delta_norm"]["similar"]["n"] == len(both) == 15
    assert set(written.metrics["dictionaries"]["diff-sae"]["interpretation"]["r2"]) == {"nu"}


def test_r2_knows_a_line_and_what_does_not_vary() -> None:
    x, bent = np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, 1.0])
    assert correlation(x, 3 - 2 * x, axis=-1) == pytest.approx(-1)
    assert correlation(x, bent, axis=-1) == pytest.approx(0)
    assert correlation(np.ones(3), x, axis=-1) == 0


def test_the_cumulative_curve_is_the_mean_of_the_first(tmp_path: Path) -> None:
    config = asked(seeds=(0,))
    report(write_study(tmp_path, config), config)
    shown = pl.read_csv(tmp_path / "report/figures/interpretation-diff-sae-first-nu.csv")
    for kind in ("random", "similar"):
        curve = shown.filter(silent=f"{kind} texts").sort("n")
        totals = pl.read_parquet(tmp_path / "evidence/interpretation/diff-sae-seed0.parquet")[f"total_{kind}"]
        assert curve["n"].to_list() == list(range(1, len(curve) + 1))
        assert set(np.round(np.diff(curve["mean"] * curve["n"], prepend=0), 4)) <= set(np.round(totals.drop_nulls(), 4))


def test_the_page_names_the_judge_and_draws_every_order(tmp_path: Path) -> None:
    config = asked(seeds=(0,))
    written = report(write_study(tmp_path, config), config)
    assert "made-up-70b explained some latents" in written.page
    assert "made-up-70b then told" in written.page
    drawn = {path.stem for path in (tmp_path / "report/figures").glob("interpretation-*.svg")}
    assert drawn == {
        "interpretation-crosscoder-l1-by-nu",
        "interpretation-crosscoder-l1-by-delta",
        "interpretation-diff-sae-by-nu",
        "interpretation-crosscoder-l1-latents-nu",
        "interpretation-crosscoder-l1-first-nu",
        "interpretation-crosscoder-l1-latents-delta-norm",
        "interpretation-crosscoder-l1-first-delta-norm",
        "interpretation-diff-sae-latents-nu",
        "interpretation-diff-sae-first-nu",
    }


def test_nobody_is_asked_by_default(tmp_path: Path) -> None:
    config = make_config(planted=False, seeds=(0,), names=("diff-sae",))
    assert not any("interpretation" in file for file in results(config))
    written = report(write_study(tmp_path, config), config)
    assert "interpretation" not in written.metrics["dictionaries"]["diff-sae"]
    assert 'id="interpretation"' not in written.page


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-0.2, 0.6, (0, 0.36)), (0.3, 0.6, (0.09, 0.36)), (-0.6, -0.3, (0.09, 0.36))]
)
def test_the_interval_of_r2_holds_0_where_that_of_r_does(low, high, expected):
    found = squared({"mean": 0.4, "low": low, "high": high, "n": 8})
    assert (found["low"], found["high"]) == pytest.approx(expected)
    assert (found["mean"], found["n"]) == (pytest.approx(0.16), 8)
