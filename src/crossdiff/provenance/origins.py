"""Which result files, and what in them, a number of metrics.json is made of. Pure apart from reading and writing.

The report step builds an `Origins` where it makes the numbers (`crossdiff.report.origins`) and leaves it beside the
page as report/origins.json. Its shape, and what a reader does with it:

    {"format": 1, "numbers": {"/dictionaries/diff-sae/fve/pooled": [["dictionaries/diff-sae-seed0/run.json",
                                                                     "results.fve"], …], …}}

    found = read(Path("results/my-pair/report/origins.json"))
    found.of("/dictionaries/diff-sae/fve/pooled/mean")   -> (Source(file, key), …), by the longest pointer above it
    source.record                                        -> run.json of the step that made the file
    recompute("results/my-pair", sources)                -> a shell command
    explain("results/my-pair", pointer)                  -> the command that prints the whole chain

Files are relative to results/<pair>; a key is a dotted name in a JSON file, or columns of a table ("kl, tokens", with
a condition after "where"). Pointers are JSON pointers (RFC 6901) into metrics.json; an address is
`metrics.json#<pointer>`, with or without a folder before it, and is what the page calls a number's id.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from crossdiff.errors import UserError
from crossdiff.provenance.files import AFTER, AGAIN, read_object, whole

NAME = "report/origins.json"
NULL = "null"
"""Folder of the pair of base and null tune, in which the steps lie as in the study's own."""
METRICS = "metrics.json"
FORMAT = 1
LEAF = {"mean", "low", "high", "n"}


@dataclass(frozen=True, order=True)
class Source:
    """A file under results/<pair> and what of it a number is made of."""

    file: str
    key: str

    @property
    def record(self) -> str:
        """The run.json of the step that made the file, relative to results/<pair>."""
        return record_of(self.file)


@dataclass(frozen=True)
class Origins:
    """Sources by pointer; a pointer covers every number below it that has no nearer one."""

    numbers: Mapping[str, tuple[Source, ...]]

    def of(self, pointer: str) -> tuple[Source, ...]:
        """Sources of the number at ``pointer``; empty if nobody noted any."""
        while pointer:
            if pointer in self.numbers:
                return self.numbers[pointer]
            pointer = pointer.rpartition("/")[0]
        return ()

    def without(self, metrics: Mapping[str, Any]) -> list[str]:
        """Pointers of the numbers of ``metrics`` that nobody noted a source of."""
        return [pointer for pointer, _ in leaves(metrics) if not self.of(pointer)]

    def document(self) -> dict[str, Any]:
        """As the JSON that `read` takes."""
        numbers = {pointer: [[s.file, s.key] for s in sources] for pointer, sources in self.numbers.items()}
        return {"format": FORMAT, "numbers": numbers}

    def write(self, path: Path) -> None:
        """Write report/origins.json."""
        with whole(path) as temporary:
            temporary.write_text(json.dumps(self.document(), indent=1) + "\n")


def read(path: Path) -> Origins:
    """What `Origins.write` wrote; UserError if it is missing or of another format."""
    try:
        document = json.loads(path.read_text())
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        return Origins(
            {pointer: tuple(Source(*item) for item in items) for pointer, items in document["numbers"].items()}
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} does not tell where the numbers come from ({error}); write the report again") from None


def read_metrics(file: Path) -> dict[str, Any]:
    """The numbers of a study, metrics.json; UserError if it is missing or damaged."""
    tree = read_object(file, AFTER, AGAIN)
    if not all(isinstance(tree.get(part), dict) for part in ("pair", "dictionaries")):
        raise UserError(f"{file} is damaged: it lacks the numbers of the pair or of its dictionaries; {AGAIN}")
    return tree


def record_of(file: str) -> str:
    """The run.json that a result's step wrote, by where steps put it: beside the file, or NAME.run.json beside it."""
    path = PurePosixPath(file)
    if path.name.endswith("run.json"):
        return file
    top = path.parts[0]
    if top == NULL:
        return f"{NULL}/{record_of(str(path.relative_to(NULL)))}"
    if top == METRICS or top == "report":
        return "report/run.json"
    if top in ("latents", "examples") or path.parts[:2] == ("evidence", "interpretation"):
        return str(path.with_name(re.sub(r"(-seed\d+)\..*", r"\1.run.json", path.name)))
    if top == "calls":
        return str(path.with_name(f"{path.stem}.run.json"))
    if path.parts[:2] == ("truth", "synthetic"):
        return str(path.with_name("run.json"))
    if top in ("models", "dictionaries", "evidence"):
        return str(PurePosixPath(top, path.parts[1].removesuffix(".gguf"), "run.json"))
    return str(PurePosixPath(top, "run.json"))


def on_null(path: PurePath) -> bool:
    """Whether a path leads to where the steps on the null tune write: results/<pair>/null/…"""
    return any(part == "results" and path.parts[at + 2 : at + 3] == (NULL,) for at, part in enumerate(path.parts))


def recompute(root: str, sources: Sequence[Source]) -> str:
    """The shortest command that makes a number again from the steps its sources come from."""
    steps = dict.fromkeys(f"{root}/{source.record}" for source in sources)
    return shlex.join(["snakemake", f"{root}/{METRICS}", *(["--forcerun", *steps] if steps else [])])


def explain(root: str, pointer: str) -> str:
    """The command that prints a number's chain."""
    return shlex.join(["crossdiff", "explain", f"{root}/{METRICS}#{pointer}"])


def pointer(*names: str) -> str:
    """JSON pointer of the number at ``names``."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def names(pointer: str) -> list[str]:
    """The names that `pointer` was made of."""
    return [name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:]]


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(pointer, number or {mean, low, high, n}) of everything in metrics.json."""
    for name, node in tree.items():
        here = above + pointer(name)
        if isinstance(node, Mapping) and set(node) != LEAF:
            yield from leaves(node, here)
        else:
            yield here, node


def found(tree: Mapping[str, Any], key: str) -> tuple[str, Any]:
    """Pointer and value of ``key``: a pointer, or dotted names (which may themselves hold dots); UserError if none.

    The value is a subtree if the key names one.
    """
    hits = list(_walk(tree, names(key))) if key.startswith("/") else list(_dotted(tree, key))
    if not hits:
        raise UserError(f"metrics.json has no number {key}; it has {', '.join(near(tree, key))}")
    return hits[0]


def near(tree: Mapping[str, Any], key: str) -> list[str]:
    """Names at the deepest level of ``key`` that exists."""
    node: Any = tree
    for name in names(key) if key.startswith("/") else key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            break
        node = node[name]
    return list(node) if isinstance(node, Mapping) else []


def _walk(tree: Any, path: list[str]) -> Iterator[tuple[str, Any]]:
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return
        tree = tree[name]
    yield pointer(*path), tree


def _dotted(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for name, node in tree.items():
            if key == name:
                yield pointer(name), node
            elif key.startswith(f"{name}."):
                yield from ((pointer(name) + rest, value) for rest, value in _dotted(node, key[len(name) + 1 :]))
