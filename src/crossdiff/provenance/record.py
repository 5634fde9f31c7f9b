"""The record of one step: what went in, what came out, by which code. Written last, and only if the step ended well.

    with record(name="dictionaries/diff-sae-seed0", out=Path("…/run.json"), params={…}, inputs=[…]) as run:
        run.log({"loss": 0.3}, step=10)      a point of a training curve (MLflow only)
        run.result(fve=0.8, l0=31.9)         a number of the step (run.json and MLflow)

The file is the truth; MLflow is a view of it (`crossdiff.provenance.tracking`).
"""

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from crossdiff import hardware
from crossdiff.errors import UserError
from crossdiff.provenance import belonging, tracking
from crossdiff.provenance.files import AFTER, AGAIN, read_object, sha256_file, whole, writable
from crossdiff.provenance.origins import NULL, on_null
from crossdiff.provenance.spool import Spooled
from crossdiff.provenance.tracker import Tracker, flat

PACKAGE = Path(__file__).parents[1]
RECORDED = (
    "crossdiff", "torch", "transformers", "tokenizers", "numpy", "scipy", "safetensors", "polars", "datasets", "peft",
    "gguf", "pydantic", "snakemake", "dvc", "mlflow",
)  # fmt: skip


class Run:
    """A step in progress."""

    def __init__(self, tracker: Tracker | Spooled | None) -> None:
        self.results: dict[str, Any] = {}
        self.seconds: float | None = None
        """The step's own seconds, where several share a process; all that pass, otherwise."""
        self._tracker = tracker

    def log(self, values: Mapping[str, float], step: int) -> None:
        """A point of each curve in ``values``; buffered, so cheap to call often."""
        if self._tracker:
            self._tracker.log(values, step)

    def result(self, **numbers: Any) -> None:
        """Final numbers; a nested dict becomes dotted names in MLflow."""
        self.results.update(numbers)


@contextlib.contextmanager
def record(name: str, out: Path | str, params: Mapping[str, Any], inputs: Iterable[Path | str]) -> Iterator[Run]:
    """Record a step into ``out`` (JSON) and, if a study is being tracked, into MLflow.

    ``inputs`` are files (a folder stands for the files in it); they are hashed before the step starts, so give a
    manifest rather than the shards it lists. UserError if one is missing, if two do not belong together (`belonging`),
    or ``out`` cannot be written. An old ``out`` is removed once the inputs are right, so that a step that fails leaves
    none. The name of a step on the null tune starts with null/, as its place does.
    """
    out = Path(out)
    name = f"{NULL}/{name}" if on_null(out) else name
    writable(out.parent)
    started, clock = datetime.now(UTC), time.perf_counter()
    params = plain(params)
    hashes = {shown(file): sha256_file(file) for file in files(inputs)}
    belonging.check(hashes)
    out.unlink(missing_ok=True)
    commit = code()
    tracker = tracking.start(name, params, commit)
    run = Run(tracker)
    status = "FAILED"
    try:
        yield run
        results = plain(run.results)
        document = {
            "name": name,
            "params": params,
            "results": results,
            "inputs": hashes,
            "code": commit,
            "versions": versions(),
            "threads": threads(),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock if run.seconds is None else run.seconds, 3),
            "peak_bytes": hardware.peak_bytes(),
            "gpu_peak_bytes": hardware.gpu_peak_bytes(),
            "machine": hardware.machine(),
            "mlflow": tracker.address() if tracker else None,
        }
        if tracker:
            numbers = {key: value for key, value in flat(results) if isinstance(value, int | float)}
            tracker.results(numbers)
        with whole(out) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n")
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if tracker:
            tracker.close(status)


PARTS = {"name": str, "started": str, "seconds": int | float, "params": dict, "results": dict, "code": dict}
"""What a record must hold for its readers, beside the inputs."""


def read(file: Path) -> dict[str, Any]:
    """The record in a run.json; UserError if it is missing, damaged, or another kind of file."""
    mend = f"give a run.json; if it is one, {AGAIN}"
    document = read_object(file, AFTER, mend)
    lacking = [part for part, kind in PARTS.items() if not isinstance(document.get(part), kind)]
    inputs = document.get("inputs")
    if not isinstance(inputs, dict) or not all(isinstance(digest, str) for digest in inputs.values()):
        lacking.append("inputs")
    if lacking:
        raise UserError(f"{file} is not a step's record, or damaged: it lacks {', '.join(lacking)}; {mend}")
    return document


def files(inputs: Iterable[Path | str]) -> list[Path]:
    """The files that ``inputs`` stand for; UserError names one that is missing."""
    found: list[Path] = []
    for path in map(Path, inputs):
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"no such input file: {path}; run the step that makes it first, or mend the path")
    return found


def shown(path: Path) -> str:
    """A path as the record names it: relative to the study's folder where it lies in it."""
    absolute = path.absolute()
    return (absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute).as_posix()


def plain(value: Any) -> Any:
    """``value`` as JSON types: dataclasses, pydantic models, paths, NumPy and torch scalars and arrays included."""
    return json.loads(json.dumps(value, default=_encode))


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a record cannot hold a {type(value).__name__}: {value!r}")


SOURCE = (":/src/crossdiff", ":/workflow", ":/Snakefile")
"""What a step's code is, from the checkout's root."""
MOST_CHANGES = 200_000
"""Characters of a patch that a record keeps, at most."""


@cache
def code() -> dict[str, Any]:
    """Commit of the source that is running, and whether it was changed since; nulls outside a git checkout.

    ``changes`` is the patch on top of the commit, files that git does not know yet included; absent if there is none.
    """
    commit, _, prefix = _git("rev-parse", "HEAD", "--show-prefix").partition("\n")
    if prefix.strip() != "src/crossdiff/":  # no checkout of this project, such as an installed copy in another's tree
        return {"commit": None, "dirty": None}
    if not _git("status", "--porcelain", "--", *SOURCE):
        return {"commit": commit, "dirty": False}
    new = _git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", *SOURCE).split("\0")
    root = PACKAGE.parents[1]
    patches = [_git("diff", "HEAD", "--", *SOURCE)]
    patches += [_git("-C", str(root), "diff", "--no-index", "--", os.devnull, name) for name in new if name]
    return {"commit": commit, "dirty": True, "changes": "\n".join(filter(None, patches))[:MOST_CHANGES]}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", PACKAGE, *arguments], capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        return ""
    found_differences = 1 if "--no-index" in arguments else 0
    return done.stdout.strip() if done.returncode <= found_differences else ""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers can depend on."""
    found = {"python": platform.python_version()}
    for name in RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def threads() -> int | None:
    """CPU threads torch computed with; None if the step did not use torch."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None
