"""Two commits of one study, and studies whose steps ran at several commits, say which source files differ."""

import json
import subprocess
from pathlib import Path

from typer.testing import CliRunner

from crossdiff.__main__ import app
from crossdiff.provenance.compare import lines, side

from .finished import PAIR, SOURCE, committed, flip, lock, put


def section(said: str, title: str) -> list[str]:
    """Lines of one part of a comparison, its heading with the count first."""
    return next(part for part in said.split("\n\n") if part.startswith(title)).splitlines()


def ran_at(base: Path, commit: str, *names: str) -> None:
    """Let records name another commit."""
    for name in names:
        record = json.loads((base / PAIR / name).read_text())
        put(base / PAIR / name, record | {"code": record["code"] | {"commit": commit}})


def changed(base: Path, file: str) -> str:
    """Commit a change of a source file; the commit's id."""
    (base / file).write_text((base / file).read_text() + "# changed\n")
    return committed(base)


def test_two_commits_tell_inputs_settings_code_and_numbers(base: Path) -> None:
    before = committed(base)
    flip(base / "config.yaml", b"resamples: ")
    flip(base / PAIR / "latents/chat-sae-seed0.parquet")
    flip(base / PAIR / "metrics.json", b'"difference_share"', b'"overall": ')
    lock(base)
    after = changed(base, SOURCE)
    result = CliRunner().invoke(app, ["diff", "HEAD~1", "HEAD"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("HEAD~1 -> HEAD\n")
    said = result.stdout
    assert section(said, "inputs")[0] == "inputs: 1 differ"
    assert section(said, "inputs")[1].startswith("  latents  ")
    assert section(said, "params") == ["params: 1 differ", "  evidence.resamples  200 -> 300"]
    code = [f"  commit {before[:12]} -> {after[:12]} of every step", f"  M   {SOURCE}"]
    assert section(said, "code") == ["code: 2 differ", *code]
    assert section(said, "numbers") == ["numbers: 1 differ", "  #/pair/difference_share/overall  0.087 -> 1.087"]


def test_studies_of_several_commits_tell_source_files_step_by_step(base: Path, whole: Path) -> None:
    first = json.loads((base / PAIR / "report/run.json").read_text())["code"]["commit"]
    second, third = changed(base, SOURCE), changed(base, "Snakefile")
    ran_at(base, second, "dictionaries/chat-sae-seed0/run.json", "dictionaries/chat-sae-seed1/run.json")
    ran_at(base, third, "report/run.json")
    assert section("\n".join(lines(side(str(whole / PAIR), base), side(PAIR, base), base)), "code")[1:] == [
        f"  commit {first[:12]} -> {second[:12]} of dictionaries/chat-sae-seed0 and 1 more steps",
        f"  M   {SOURCE}",
        f"  commit {first[:12]} -> {third[:12]} of report",
        "  M   Snakefile",
        f"  M   {SOURCE}",
    ]


def test_commits_between_which_no_source_changed_and_unknown_ones_are_told(base: Path, whole: Path) -> None:
    first = json.loads((base / PAIR / "report/run.json").read_text())["code"]["commit"]
    (base / "notes.txt").write_text("no source")
    ran_at(base, committed(base), "report/run.json")
    ran_at(base, "0" * 40, "corpus/run.json")
    said = section("\n".join(lines(side(str(whole / PAIR), base), side(PAIR, base), base)), "code")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=base, capture_output=True, text=True, check=True).stdout
    assert f"  commit {first[:12]} -> {head[:12]} of report: no source file differs" in said
    assert f"  commit {first[:12]} -> 000000000000 of corpus: the checkout lacks one of them, so their files cannot be compared" in said  # fmt: skip  # noqa: E501


def test_a_folder_against_a_commit_compares_each_commit_of_its_steps(base: Path) -> None:
    first = json.loads((base / PAIR / "report/run.json").read_text())["code"]["commit"]
    last = changed(base, SOURCE)
    said = section("\n".join(lines(side(PAIR, base), side(last, base), base)), "code")
    assert said[1].startswith(f"  commit {first[:12]} -> {last[:12]} of ")
    assert said[2:] == [f"  M   {SOURCE}"]


def test_steps_that_ran_with_changes_are_told(base: Path, whole: Path) -> None:
    record = json.loads((base / PAIR / "calls/chat-sae.run.json").read_text())
    put(base / PAIR / "calls/chat-sae.run.json", record | {"code": record["code"] | {"dirty": True}})
    said = section("\n".join(lines(side(str(whole / PAIR), base), side(PAIR, base), base)), "code")
    assert said[1:] == [f"  {PAIR}: calls/chat-sae ran with changes on top of its commit"]
