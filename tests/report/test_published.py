"""Published numbers: graded, of pairs that have an overlay, and set beside the same quantity."""

import re
from html import unescape
from pathlib import Path

import pytest
import yaml
from study_files import Written, make_config, report, write_study

from crossdiff.config import Config
from crossdiff.dictionaries.published.settings import Published
from crossdiff.dictionaries.published.site import layer_of
from crossdiff.parsing import parse
from crossdiff.report.numbers import address
from crossdiff.report.published import GRADES, Number, beside, published

ROOT = Path(__file__).parents[2]
GEMMA = published("google/gemma-2-2b", "google/gemma-2-2b-it")


def test_numbers_are_those_of_a_pair_with_an_overlay() -> None:
    overlay = yaml.safe_load((ROOT / "configs/gemma-2-2b.yaml").read_text())["pair"]
    assert published(overlay["base"]["path"], overlay["chat"]["path"]) == GEMMA != ()
    assert published("google/gemma-2-2b", None) == published("a", "b") == ()


def test_the_overlay_says_how_to_take_the_other_crosscoder_that_was_measured() -> None:
    """It is left out, for it is not needed: with its marks taken away it is an entry of the study's site."""
    lines = (ROOT / "configs/gemma-2-2b.yaml").read_text().splitlines()
    first = lines.index("  # kissane:")
    block = [line.replace("# ", "", 1) for line in lines[first : first + 5]]
    entry = parse(Published, yaml.safe_load("\n".join(block))["kissane"])
    assert entry.models == 2
    assert layer_of(entry.subfolder) == 13
    assert any(number.dictionary == "kissane" for number in GEMMA)


@pytest.mark.parametrize("number", GEMMA, ids=lambda n: f"{n.dictionary}-{n.quantity}"[:60])
def test_each_number_is_graded_and_measures_what_the_study_measures(number: Number, planted: Written) -> None:
    assert number.grade in GRADES
    assert (number.value is None) == (number.low is not None) == (number.high is not None)
    if number.key:
        ours = planted.metrics["dictionaries"]
        theirs = {"kissane": ours["crosscoder-l1"]}  # of a study that takes it from the hub
        (found,) = beside((number,), planted.metrics | {"dictionaries": theirs | ours})
        leaf = found.obtained["mean"] if isinstance(found.obtained, dict) else found.obtained
        assert isinstance(leaf, float | int), number.path()


def test_a_study_without_a_counterpart_leaves_it_out() -> None:
    number = Number(quantity="q", grade="S", value=1.0, dictionary="other", key="fve.pooled")
    plain = Number(quantity="q", grade="S", value=1.0)
    assert [each.obtained for each in beside((number, plain), {"dictionaries": {}})] == [None, None]
    tree = {"dictionaries": {"other": {"fve": {"pooled": 0.5}}}}
    assert beside((number,), tree)[0].obtained == 0.5


def test_the_page_of_a_published_pair_shows_each_number_beside_its_own(tmp_path: Path) -> None:
    config = make_config(planted=False, names=("crosscoder-l1", "diff-sae"))
    write_study(tmp_path, config)
    data = config.model_dump(mode="json")
    data["pair"] |= {"base": {"path": "google/gemma-2-2b"}, "chat": {"path": "google/gemma-2-2b-it"}}
    written = report(tmp_path, parse(Config, data))
    section = written.page.partition('<section id="published">')[2].partition("</section>")[0]
    rows = [unescape(re.sub("<[^>]+>", " ", row)) for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", section)]
    assert len(rows) == len(GEMMA)
    for key in ("twins.pairs", "correlation.pearson.nu_error_frequency", "classes.chat-only", "fve.pooled"):
        assert f'data-src="{address("dictionaries", "crosscoder-l1", *key.split("."))}"' in section
    assert 'data-src="metrics.json#/dictionaries/crosscoder-batchtopk' not in section  # the study has none
    assert any("3,176" in row and "quoted from the paper or the post" in row for row in rows)
    correlated = [row for row in rows if "Pearson correlation of Δ" in row]
    assert len(correlated) == 2
    assert all("0.730 to 0.870" in row and "unverified" in row and "1 − Δ" in row for row in correlated)


def test_other_pairs_show_nothing(planted: Written, plain: Written) -> None:
    assert not any('id="published"' in study.page for study in (planted, plain))
