"""The page: all sections, one file, numbers that equal metrics.json, and texts that stay texts."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from study_files import Written, edit, make_config, report, write_study

from crossdiff.report.collect import collect
from crossdiff.report.numbers import Numbers, address, written
from crossdiff.report.sections.made import drawn, machines
from crossdiff.report.seeds import ends, mean

SECTIONS = [
    "latents", "calls", "cause", "dictionaries", "seeds", "nulls", "synthetic", "drawn", "change", "explorer", "pair",
    "training", "made",
]  # fmt: skip
ROUNDED = {"count": 0.51, "seconds": 0.51, "percent": 0.51, "bytes": 0.051}
"""How far a printed number of a style may be from the exact one."""
UNITS = {"percent": 100, "bytes": 1e-9}
VOID = {"meta", "br", "img", "hr", "input", "link"}


class Page(HTMLParser):
    """Elements of a page: tags with attributes, text of numbers, balance of tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.numbers: list[tuple[dict[str, str | None], str]] = []
        self.stack: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
        if "data-src" in dict(attrs):
            self.numbers.append((dict(attrs), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data if not {"style", "script"} & set(self.stack) else ""
        if self.stack[-2:] == ["span", "b"] or self.stack[-2:] == ["span", "i"]:
            attributes, text = self.numbers[-1] if self.numbers else ({}, "")
            if self.numbers:
                self.numbers[-1] = (attributes, text + data + ("|" if self.stack[-1] == "b" else ""))


def lookup(metrics: object, pointer: str) -> object:
    """The value at a JSON pointer, by RFC 6901."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        metrics = metrics[int(name) if isinstance(metrics, list) else name]  # type: ignore[index]
    return metrics


def test_all_sections_are_there_and_elements_are_balanced(planted: Written) -> None:
    page = Page(planted.page)
    assert page.stack == []
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == SECTIONS
    links = {str(attrs["href"]) for tag, attrs in page.tags if tag == "a" and "download" not in attrs}
    sections = {link for link in links if not link.startswith(("#latent=", "#find?"))}
    assert sections == {f"#{name}" for name in SECTIONS}


def test_identifiers_are_unique(planted: Written) -> None:
    found = [attrs["id"] for _, attrs in Page(planted.page).tags if "id" in attrs]
    assert len(found) == len(set(found))
    used = set(re.findall(r"url\(#([^)]+)\)", planted.page))
    assert used <= set(found)


def test_nothing_is_fetched(planted: Written, plain: Written) -> None:
    for study in (planted, plain):
        page = Page(study.page)
        assert not {"link", "iframe", "img", "object", "embed", "base"} & {tag for tag, _ in page.tags}
        for tag, attrs in page.tags:
            assert not any(name.startswith("on") for name in attrs), tag
            for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                inside = ("#", "data:text/csv") if tag == "a" and "download" in attrs else ("#",)
                assert (attrs.get(name) or "#").startswith(inside), (tag, name)
        outside = re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]+"', "", study.page)
        assert not re.search(r"https?://|@import|@font-face", outside)
        assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", outside))


def test_numbers_equal_metrics_after_rounding(planted: Written, plain: Written) -> None:
    for study in (planted, plain):
        seen = set()
        for attrs, text in Page(study.page).numbers:
            source, style = attrs["data-src"] or "", attrs.get("data-style") or ""
            if not source.startswith("metrics.json#") or not style:
                continue
            seen.add(source)
            leaf: Any = lookup(study.metrics, source.removeprefix("metrics.json#"))
            value, _, interval = text.partition("|")
            assert value == written(mean(leaf), style), source
            shown = [value, *(re.split("–| to | and ", interval.strip()) if interval else [])]
            for number, exact in zip(shown, [mean(leaf), *ends(leaf)], strict=False):
                assert as_number(number) == pytest.approx(
                    exact * UNITS.get(style, 1), rel=0.06, abs=ROUNDED.get(style, 0.006)
                ), source
        assert len(seen) > 30


def as_number(text: str) -> float:
    if text.endswith(" MB"):
        return float(text.removesuffix(" MB")) / 1e3
    return float(re.sub(" (s|%|GB)$", "", text.replace("−", "-").replace(",", "")))


def test_the_table_has_every_dictionary_and_number(planted: Written) -> None:
    sources = {attrs["data-src"] for attrs, _ in Page(planted.page).numbers}
    every = [
        "fve/pooled",
        "l0",
        "dead",
        "chat_specific/activation_0.3",
        "kl_recovered/all/best-nu",
        "behaviours_found/add",
    ]
    two_sided = ["classes/chat-only", "classes/shared", "chat_specific/reconstruction_and_error"]
    whole = {"crosscoder-l1": "all-with-bias", "crosscoder-batchtopk": "all-with-bias", "diff-sae": "full"}
    for name in planted.config.dictionaries:
        paths = every + (two_sided if "crosscoder" in name else [])
        paths += [f"kl_recovered/all/{whole[name]}"] if name in whole else []
        assert {address("dictionaries", name, *path.split("/")) for path in paths} <= sources
    assert address("directions", "mean-difference", "behaviours_found", "remove") in sources


def test_tokens_and_answers_stay_text(planted: Written) -> None:
    page = Page(planted.page)
    assert "<script>no</script>" in page.text
    assert "What about new-name & number" in page.text
    assert [attrs.get("type") for tag, attrs in page.tags if tag == "script"] == [
        "application/octet-stream",
        "application/json",
        None,
    ]
    assert "↵" in page.text


def test_a_study_without_planted_behaviours(plain: Written) -> None:
    page = Page(plain.page)
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == [s for s in SECTIONS if s != "synthetic"]
    told = page.text.partition('"pair":')[0]
    assert "planted" not in told
    assert "behaviours" not in told.lower()
    assert "directions" not in plain.metrics
    assert "one seed" in told
    assert not list((plain.root / "report/figures").glob("behaviours*"))


def test_two_runs_give_the_same_bytes(plain: Written, tmp_path: Path) -> None:
    write_study(tmp_path, plain.config)
    again = report(tmp_path, plain.config, drawn=True)
    assert again.page == plain.page
    assert (tmp_path / "metrics.json").read_bytes() == (plain.root / "metrics.json").read_bytes()
    for path in (plain.root / "report/figures").iterdir():
        assert path.read_bytes() == (tmp_path / "report/figures" / path.name).read_bytes()


def test_a_dictionary_whose_latents_are_all_dead(tmp_path: Path) -> None:
    config = make_config(seeds=(0,), names=("crosscoder-l1", "diff-sae"))
    write_study(tmp_path, config)
    for name in config.dictionaries:
        edit(
            tmp_path / f"latents/{name}-seed0.parquet",
            lambda t: t.with_columns(dead=pl.lit(True), nu_valid=pl.lit(False)),
        )
        edit(tmp_path / f"examples/{name}-seed0.parquet", lambda t: t.clear())
    found = report(tmp_path, config)
    for name in config.dictionaries:
        numbers = found.metrics["dictionaries"][name]
        assert numbers["dead"] == 1
        assert numbers["chat_specific"]["activation_0.3"] == 0
        assert numbers["template"] == {}
    text = Page(found.page).text
    assert "No latent of any dictionary is the chat model's own" in text


def test_a_dictionary_without_any_evidence(tmp_path: Path) -> None:
    config = make_config(seeds=(0,), names=("diff-sae", "base-sae"))
    write_study(tmp_path, config)
    for file in ("kl", "behaviours"):
        edit(tmp_path / f"evidence/base-sae-seed0/{file}.parquet", lambda t: t.clear())
    found = report(tmp_path, config)
    assert found.metrics["dictionaries"]["base-sae"]["kl_recovered"] == {}
    assert found.metrics["dictionaries"]["base-sae"]["behaviours_found"] == {}
    assert found.metrics["dictionaries"]["diff-sae"]["kl_recovered"]["all"]["full"]["mean"] > 0.5


def test_behaviours_that_never_show(tmp_path: Path) -> None:
    config = make_config(seeds=(0,), names=("diff-sae",))
    write_study(tmp_path, config)
    for folder in ("baselines", "diff-sae-seed0"):
        edit(tmp_path / f"evidence/{folder}/behaviours.parquet", lambda t: t.clear())
    found = report(tmp_path, config)
    assert found.metrics["directions"]["mean-difference"]["behaviours_found"] == {}
    assert "of the six planted behaviours" not in Page(found.page).text.partition("Which latents are")[0]
    assert not list((tmp_path / "report/figures").glob("behaviours*"))


def test_the_answer_says_when_a_baseline_wins(tmp_path: Path) -> None:
    config = make_config(seeds=(0,), names=("crosscoder-l1",))
    write_study(tmp_path, config)
    less = pl.when(pl.col("intervention") == "template").then(0.1 * pl.col("kl")).otherwise("kl").alias("kl")
    edit(tmp_path / "evidence/baselines/kl.parquet", lambda t: t.with_columns(less))
    nothing = pl.when(pl.col("subject") == "best").then(0.0).otherwise("logprob").alias("logprob")
    edit(tmp_path / "evidence/crosscoder-l1-seed0/behaviours.parquet", lambda t: t.with_columns(nothing))
    text = re.sub(r"\s+", " ", Page(report(tmp_path, config).page).text)
    assert "a baseline does better" in text
    assert "No dictionary's latents, removed from the chat model, make the answer to one of the six planted" in text
    assert "a baseline does better than every dictionary for six (removed" in text


def test_components_stand_beside_the_dictionaries(planted: Written) -> None:
    text = re.sub(r"\s+", " ", Page(planted.page).text)
    assert planted.metrics["pair"]["components"] == 8
    assert "8 principal components of the difference close" in text.partition("Which latents are candidates")[0]
    assert "8 principal components" in (planted.root / "report/figures/kl-recovered.svg").read_text()


def test_the_answer_says_how_few_new_latents_it_could_not_see(planted: Written) -> None:
    assert "fewer than 3 to 30 latents, by dictionary and test, are not called" in re.sub(
        r"\s+", " ", Page(planted.page).text
    )


def test_the_answer_says_what_the_latents_leave_out(planted: Written, plain: Written) -> None:
    text = re.sub(r"\s+", " ", Page(planted.page).text)
    point = text.partition("Do dictionaries hold what changed?")[2]
    assert "What the reconstruction leaves out carries more than it does in crosscoder-batchtopk" in point
    assert "it carries less" not in point.partition("diff-sae (6")[0]
    assert "The latents, or what they leave out?" in text
    assert "The latents, or what they leave out?" in Page(plain.page).text


def test_a_planted_pair_is_no_chat_tuning(planted: Written, plain: Written) -> None:
    assert "What do six planted behaviours change inside this model" in planted.page
    assert "chat tuning change" not in planted.page
    assert "What does chat tuning change inside this model" in plain.page


def test_shifted_answers_are_told_apart_from_turned_ones(planted: Written) -> None:
    text = re.sub(r"\s+", " ", Page(planted.page).text)
    lead = text.partition("Which latents are candidates")[0]
    assert "shift the answer's log-probability more than each of two random sets" in lead
    assert "of the answers to" in lead


def test_numbers_that_were_not_measured_are_dashes() -> None:
    numbers = Numbers({"a": {"b/c": 0.5}})
    assert "–" in numbers.show("a", "x")
    assert 'data-src="metrics.json#/a/b~1c"' in numbers.show("a", "b/c")


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.7916, "share", "0.792"), (0.087, "percent", "8.7 %"), (0.004, "percent", "0.40 %"),
        (0.74, "percent", "74 %"), (0.0, "percent", "0 %"), (1.0, "percent", "100 %"),
        (1234.0, "count", "1,234"), (23.5, "count", "23.5"), (31.94, "number", "31.9"), (1.69, "nats", "1.690"),
        (-0.42, "change", "−0.42"), (-0.001, "change", "0.00"), (float("nan"), "share", "–"),
        (3661.2, "seconds", "3,661 s"), (3.46e9, "bytes", "3.5 GB"), (734e6, "bytes", "734 MB"),
    ],
)  # fmt: skip
def test_how_numbers_are_written(value: float, style: str, text: str) -> None:
    assert written(value, style) == text


def test_every_job_is_in_one_stage(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    found = drawn(study).stages
    assert found["dictionaries"].jobs == found["latents"].jobs == 8
    assert sum(stage.jobs for stage in found.values()) == len(study.records) + 1
    assert sum(stage.seconds for stage in found.values()) == pytest.approx(planted.metrics["costs"]["total_seconds"])
    peaks = planted.metrics["costs"]["peak_bytes"]
    assert found["calls"].peak_bytes == max(peaks[name] for name in peaks if name.startswith("calls/"))


def test_each_machine_is_told_once_with_its_steps(planted: Written) -> None:
    study = collect(planted.config, planted.root)
    first = next(iter(study.records))
    study.records[first]["machine"] = {"cpu": "another", "cores": 64, "memory_bytes": None, "gpu": "a GPU"}
    (usual, many), (other, one) = machines(study)
    assert (usual["cpu"], other["cpu"], many + one, one) == ("A CPU & more", "another", len(study.records), 1)
    assert "ran on A CPU & more, 2 cores, 16.0 GB of memory." in Page(planted.page).text
