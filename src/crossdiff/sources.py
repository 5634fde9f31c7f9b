"""The source files that a step runs, found by following its imports: Snakemake reruns what a changed one belongs to."""

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from crossdiff.errors import UserError

SRC = Path(__file__).resolve().parents[1]


@cache
def sources(module: str, *data: str) -> list[str]:
    """Files of this project that ``python -m module`` runs, itself included, relative to the working directory.

    ``data`` are patterns, relative to the module's folder, of other files that it reads; UserError if one matches none.
    """
    found: dict[str, bool] = {}
    todo = [(f"{module}.__main__", True), (module, True)]
    while todo:
        name, whole = todo.pop()
        path = _file(name)
        if path is not None and (name not in found or whole > found[name]):
            found[name] = whole
            todo += _imports(name, path, whole)
    own = _file(module)
    if own is None:
        raise UserError(f"there is no module {module} under {SRC}")
    files = {path for name in found if (path := _file(name))}
    for pattern in data:
        matches = set(own.parent.glob(pattern))
        if not matches:
            raise UserError(f"{module} reads {pattern} beside it, but there is no such file")
        files |= matches
    return sorted(os.path.relpath(path) for path in files)


@cache
def _file(module: str) -> Path | None:
    stem = SRC.joinpath(*module.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


@cache  # most files belong to several steps
def _imports(name: str, path: Path, whole: bool) -> list[tuple[str, bool]]:
    """(what may be a module, whether all of it is meant) for each import of a file, and for the package it lies in.

    A package that is only passed through on the way to a module in it runs its top level, so imports inside the
    functions of its `__init__` count only if the package itself is meant.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names = [(name.rpartition(".")[0], False)]
    for node in _running(ast.parse(path.read_text()), whole or path.name != "__init__.py"):
        if isinstance(node, ast.Import):
            names += [(alias.name, True) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                module = f"{base}.{alias.name}"
                names.append((module, True) if _file(module) else (base, True))
    return names


def _running(tree: ast.AST, functions: bool) -> Iterator[ast.AST]:
    """Statements that run: not those for type checkers, and those inside functions only if ``functions``."""
    todo = [tree]
    while todo:
        for node in ast.iter_child_nodes(todo.pop()):
            if isinstance(node, ast.expr):  # most of a file, and without statements in it
                continue
            checking = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            if not checking and (functions or not isinstance(node, ast.FunctionDef)):
                yield node
                todo.append(node)
