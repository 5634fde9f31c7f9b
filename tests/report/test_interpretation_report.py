"""What language models said of the latents, in metrics.json and on the page; nothing of it where none was asked."""

import json
from pathlib import Path

from crossdiff.config import Config
from crossdiff.evidence.interpretation.settings import Interpretation, Judge
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
    }


def test_nobody_is_asked_by_default(tmp_path: Path) -> None:
    config = make_config(planted=False, seeds=(0,), names=("diff-sae",))
    assert not any("interpretation" in file for file in results(config))
    written = report(write_study(tmp_path, config), config)
    assert "interpretation" not in written.metrics["dictionaries"]["diff-sae"]
    assert 'id="interpretation"' not in written.page
