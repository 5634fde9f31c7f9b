"""Damaged results are told as damaged, with the file and what to do; no command takes them for empty ones."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossdiff.__main__ import app
from crossdiff.errors import UserError
from crossdiff.provenance.files import AFTER, AGAIN

from .finished import PAIR

METRICS = f"{PAIR}/metrics.json"
KEY = f"{METRICS}#dictionaries.chat-sae.fve.pooled"
CUT, EMPTY, LIST = "cut", "{}", "[]"


def damage(file: str, how: str) -> None:
    path = Path(file)
    path.write_text(path.read_text()[:300] if how == CUT else how)


def refused(*command: str) -> str:
    """The message of the UserError that a command ends in."""
    result = CliRunner().invoke(app, [str(part) for part in command])
    assert isinstance(result.exception, UserError), (result.output, result.exception)
    return str(result.exception)


@pytest.mark.parametrize("how", [CUT, EMPTY, LIST])
@pytest.mark.parametrize(
    "command", [("explain", KEY), ("diff", "{whole}", PAIR), ("compare", "{whole}", PAIR, "--out", "c.html")]
)
def test_damaged_numbers(base: Path, whole: Path, command: tuple[str, ...], how: str) -> None:
    damage(METRICS, how)
    said = refused(*(part.format(whole=whole / PAIR) for part in command))
    assert METRICS in said
    assert said.endswith(AGAIN)


@pytest.mark.parametrize("how", [CUT, EMPTY, LIST])
def test_the_audit_tells_damaged_numbers(base: Path, how: str) -> None:
    damage(METRICS, how)
    result = CliRunner().invoke(app, ["audit", PAIR])
    assert result.exit_code == 1
    assert f"{METRICS} is damaged: {AGAIN}" in result.stdout
    assert f"no number of {METRICS} can be read" in result.stdout


@pytest.mark.parametrize("how", [CUT, EMPTY, LIST])
@pytest.mark.parametrize("command", [("diff", "{whole}", PAIR), ("compare", "{whole}", PAIR, "--out", "c.html")])
def test_a_damaged_record_is_not_compared(base: Path, whole: Path, command: tuple[str, ...], how: str) -> None:
    damage(f"{PAIR}/corpus/run.json", how)
    said = refused(*(part.format(whole=whole / PAIR) for part in command))
    assert f"{PAIR}/corpus/run.json" in said
    assert said.endswith(AGAIN)


@pytest.mark.parametrize("how", [CUT, EMPTY, LIST])
def test_a_chain_goes_on_past_a_damaged_record(base: Path, how: str) -> None:
    damage(f"{PAIR}/corpus/run.json", how)
    result = CliRunner().invoke(app, ["explain", KEY])
    assert result.exit_code == 0, result.output
    assert "its record is missing or damaged" in result.stdout


def test_tables_among_the_numbers_are_compared_by_length(base: Path, whole: Path) -> None:
    Path(METRICS).write_text(Path(METRICS).read_text().replace("{", '{"made_up": [{"a": 1}, {"a": 2}],', 1))
    result = CliRunner().invoke(app, ["diff", str(whole / PAIR), PAIR])
    assert result.exit_code == 0, result.output
    assert "#/made_up  none -> a table of 2" in result.stdout


@pytest.mark.parametrize("command", [("explain", "results/none/metrics.json#pair.layers"), ("audit", "results/none")])
def test_before_there_are_results(base: Path, command: tuple[str, ...]) -> None:
    assert refused(*command) == f"results/none holds no metrics.json: give the folder of a finished study, results/<pair>{AFTER}"  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("command", [("explain", "{}/metrics.json#pair.layers"), ("audit", "{}")])
def test_numbers_without_what_they_rest_on_are_a_fresh_clones(base: Path, command: tuple[str, ...]) -> None:
    """metrics.json is in git, the rest is not: nothing is broken there, it has not been fetched."""
    alone = Path("results/alone")
    alone.mkdir()
    (alone / "metrics.json").write_text(Path(METRICS).read_text())
    told = refused(*(part.format(alone) for part in command))
    assert told.startswith("results/alone holds metrics.json alone, as a fresh clone does")
    assert told.endswith(AFTER)


def test_before_there_are_results_to_compare(base: Path) -> None:
    for command in ("diff", "compare"):
        assert refused(command, "results/none", PAIR).endswith(AFTER)


def test_status_names_damaged_records(base: Path) -> None:
    damage(f"{PAIR}/corpus/run.json", EMPTY)
    damage(f"{PAIR}/pair/run.json", CUT)
    lines = CliRunner().invoke(app, ["status"]).stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("damaged")] == [
        f"{PAIR}/pair/run.json",
        f"{PAIR}/corpus/run.json",
    ]


def test_a_file_in_the_place_of_a_study_and_a_folder_in_that_of_a_table(base: Path) -> None:
    assert "metrics.json is a file: give the folder" in refused("audit", f"{PAIR}/metrics.json")
    assert "latents is a folder; " in refused("latents", f"{PAIR}/latents")
    said = refused("compare", PAIR, PAIR, "--out", f"{PAIR}/latents")
    assert "latents: this is a folder; give the name" in said


def test_show_wants_a_record(base: Path) -> None:
    assert f"{METRICS} is not a step's record" in refused("show", METRICS)
    assert "results/made-up cannot be read (Is a directory)" in refused("show", PAIR)
    assert "inputs" not in refused("show", "gone.json")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (METRICS, "is no parquet file, or damaged"),
        (f"{PAIR}/evidence/baselines/kl.parquet", "is no table of latents"),
        ("gone.parquet", "no such file: gone.parquet; it is there after make study"),
    ],
)
def test_latents_wants_a_table_of_latents(base: Path, file: str, said: str) -> None:
    assert said in refused("latents", file)
