"""What every command shares."""

import sys
from typing import Annotated

import pytest
import typer

from crossdiff.cli import stage
from crossdiff.errors import UserError


def run(monkeypatch, main, *options):
    monkeypatch.setattr(sys, "argv", ["command", *options])
    with pytest.raises(SystemExit) as left:
        stage(main)
    return left.value.code


def test_options_come_from_the_signature(monkeypatch):
    def main(rows: Annotated[int, typer.Option(help="how many")], name: str = "x") -> None:
        """Do it."""
        given.append((rows, name))

    given = []
    assert run(monkeypatch, main, "--rows", "3") == 0
    assert given == [(3, "x")]


def test_a_user_error_is_one_line(monkeypatch, capsys):
    def main() -> None:
        raise UserError("k: lower it")

    assert run(monkeypatch, main) == 2
    assert capsys.readouterr().err == "error: k: lower it\n"


def test_an_interrupted_command_says_how_to_go_on(monkeypatch, capsys):
    def main() -> None:
        raise KeyboardInterrupt

    assert run(monkeypatch, main) == 130
    assert capsys.readouterr().err == "interrupted: the same command goes on from what is on disk\n"
