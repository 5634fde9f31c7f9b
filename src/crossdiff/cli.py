"""What every command shares: errors in plain words, and progress bars that suit terminals and logs."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer
from tqdm import tqdm

from crossdiff.errors import UserError


def stage(main: Callable[..., Any]) -> None:
    """Run ``main`` as a command; a UserError becomes one message on stderr and exit status 2.

    One that is interrupted says what comes of it, and exits with status 130 as a shell's commands do.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(_interruptible(main))
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _interruptible(main: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(main)  # the command's options are read from the signature
    def run(*given: Any, **named: Any) -> Any:
        try:
            return main(*given, **named)
        except KeyboardInterrupt:
            print("interrupted: the same command goes on from what is on disk", file=sys.stderr)
            sys.exit(130)

    return run


def progress(total: float | None, desc: str, unit: str) -> "tqdm[Any]":
    """A progress bar: live on a terminal, a line every few seconds in a log."""
    return tqdm(total=total, desc=desc, unit=unit, mininterval=0.2 if sys.stderr.isatty() else 10, unit_scale=True)
