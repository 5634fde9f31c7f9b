"""Config files and what lies over them: whatever is wrong with one is told with its name, and ends `check` with 2."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossdiff import config
from crossdiff.__main__ import main
from crossdiff.cli import stage
from crossdiff.errors import UserError
from crossdiff.overlay import merged, read

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a config.yaml of hub ids alone."""
    monkeypatch.chdir(tmp_path)
    data: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    data["pair"] = {"name": "hub", "base": {"path": "org/base"}, "chat": {"path": "org/chat"}}
    data["corpus"]["sources"] = [{"name": "web", "path": "org/web", "column": "text", "share": 1.0}]
    data["calibration"] = {"null_tune": None}
    Path("config.yaml").write_text(yaml.safe_dump(data))


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `crossdiff check --no-estimate` tells on stderr while it ends with status 2."""
    monkeypatch.setattr(sys, "argv", ["crossdiff", "check", "--no-estimate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    return told.removeprefix("error: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file over.yaml; mend the path"),
        (b"", "over.yaml is empty; write `key: value` lines in it, or leave it out"),
        (b"# nothing yet\n", "over.yaml is empty"),
        (b"- seeds", "over.yaml must hold `key: value` lines, not a list"),
        (b"seeds", "over.yaml must hold `key: value` lines, not a str"),
        (b"seeds: [1", "over.yaml, line 1: expected ',' or ']'"),
        (b"seeds: [1]\n\tq: 1", "over.yaml, line 2: found character '\\t' that cannot start any token"),
        (b"pair: {name: caf\xe9}", "over.yaml is not in UTF-8 (byte 16); save it as that"),
        (b"seeds: 2024-13-01", "over.yaml is no YAML: month must be in 1..12"),
        (b"[" * 3000, "over.yaml is no YAML: "),
        (b"seeds: [1]\nsynthetic: null\nseeds: [2]", "over.yaml, line 3: seeds was given in line 1 already"),
        (b"pair:\n  name: a\n  name: b", "over.yaml, line 3: name was given in line 2 already; keep one of them"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_is_no_config(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str
) -> None:
    if content is not None:
        Path("over.yaml").write_bytes(content)
    assert refused(monkeypatch, capsys, "over.yaml").startswith(message)


def test_a_folder_without_config_yaml(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").unlink()
    told = refused(monkeypatch, capsys)
    assert told.startswith("there is no file config.yaml; run this in the checkout, where it lies")


@pytest.mark.parametrize(
    ("overlay", "below", "message"),
    [
        ("activations: {layer: -1}", {}, "over.yaml: activations.layer: Input should be greater"),
        ("activations: {layer: 3}", {"corpus": {"context": 1}}, "config.yaml: corpus.context: Input should be greater"),
        ("dictionaries: {diff-sae: {k: 9999}}", {}, "over.yaml: dictionaries.diff-sae: k = 9999 is larger"),
        ("dictionaries: {more: {latents: 5}}", {}, "over.yaml: dictionaries.more.kind: Field required"),
        ("pair: {name: other}", {"pair": {"base": None}}, "config.yaml: pair.base: Input should be"),
        ("seeds: [3, x]", {}, "over.yaml: seeds.1: Input should be a valid integer"),
        ("sedes: [3]", {}, "over.yaml: sedes: no such key"),
    ],
)
def test_the_file_that_gave_the_wrong_key_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], overlay: str, below: dict, message: str
) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(merged(read(Path("config.yaml")), below)))
    Path("over.yaml").write_text(overlay)
    assert refused(monkeypatch, capsys, "over.yaml").startswith(message)


def test_what_a_merge_key_brings_may_be_given_again() -> None:
    Path("x.yaml").write_text("a: &a {k: 1, l: 2}\nb: &b\n  <<: *a\n  k: 3\nc:\n  <<: *b\n  l: 4\n")
    assert read(Path("x.yaml"))["c"] == {"k": 3, "l": 4}
    Path("x.yaml").write_text("early: {late: &late {k: 1}}\nb: {<<: *late, k: 3}\nc: {<<: *late, k: 4}")
    assert read(Path("x.yaml"))["c"] == {"k": 4}


def test_the_config_module_tells_as_much(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in ((["nope.yaml"], "there is no file nope.yaml"), ([], "name the config files to check")):
        monkeypatch.setattr(sys, "argv", ["config", *arguments])
        with pytest.raises(SystemExit) as ended:
            stage(config.main)
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(f"error: {message}")


def test_files_are_laid_over_one_another() -> None:
    Path("over.yaml").write_text("{seeds: [4], activations: {layer: 2}}")
    study = config.read([Path("config.yaml"), Path("over.yaml")])
    assert (study.seeds, study.activations.layer, study.corpus.context) == ([4], 2, 256)
    with pytest.raises(UserError, match=r"over\.yaml: pair: Field required"):
        config.read([Path("over.yaml")])


@pytest.mark.parametrize("side", ["base", "chat"])
def test_another_pair_needs_a_name_of_its_own(side: str) -> None:
    """Else it would run in the folder of the pair it is laid over, and replace what is there."""
    over = Path("over.yaml")
    over.write_text(f"pair: {{{side}: {{path: org/other}}}}")
    with pytest.raises(UserError, match=rf"^over\.yaml: pair\.{side} is changed and pair\.name is not"):
        config.read([Path("config.yaml"), over])
    over.write_text(f"pair: {{name: other, {side}: {{path: org/other}}}}")
    assert config.read([Path("config.yaml"), over]).pair.name == "other"
