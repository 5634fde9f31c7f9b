"""What changed between two studies, or two commits of one: inputs, settings, code, numbers with their intervals.

A folder is results/<pair>. A commit is read from git alone: metrics.json and config.yaml, and the hashes in dvc.lock.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crossdiff.errors import UserError
from crossdiff.provenance.audit.code import first, git, known
from crossdiff.provenance.audit.configured import at, different
from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.audit.recomputed import equal
from crossdiff.provenance.audit.study import REPORT, Study
from crossdiff.provenance.files import AFTER
from crossdiff.provenance.origins import METRICS, leaves, names
from crossdiff.provenance.record import read as read_record

EVERY = "every step"
"""In the place of a step where one commit stands for the whole study."""


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Hash of each input, by its path without the pair's name."""
    ran: Mapping[str, str]
    """The commit that each step ran at, by the step's record."""
    numbers: Mapping[str, Any]
    """Leaves of metrics.json by pointer."""
    changed: frozenset[str] = frozenset()
    """Records of the steps that ran with changes on top of their commit."""

    @property
    def dictionaries(self) -> list[str]:
        """Names of the dictionaries, in the study's order."""
        return list(dict.fromkeys(names(key)[1] for key in self.numbers if key.startswith("/dictionaries/")))

    @property
    def commits(self) -> tuple[str, ...]:
        """The commits, each once."""
        return tuple(sorted(set(self.ran.values())))


def side(text: str, base: Path, pair: str | None = None) -> Side:
    """A folder results/<pair> or a commit; UserError if it is neither."""
    if (Path(text) / METRICS).is_file():
        return folder(Study(Path(text), Hashes()))
    if known(base, text):
        return committed(text, base, pair)
    raise UserError(f"{text} is neither a commit of this checkout nor a folder with {METRICS}{AFTER}")


def folder(study: Study) -> Side:
    """A study on disk; the inputs are those that its steps recorded. UserError if numbers or records are damaged."""
    for name in study.expected:
        if name not in study.records and (study.root / name).is_file():
            read_record(study.root / name)
    inputs = {
        path.replace(study.name(""), ""): digest
        for record in study.records.values()
        for path, digest in record.get("inputs", {}).items()
    }
    sources = {name: record["code"] for name, record in study.records.items()}
    ran = {name: str(source.get("commit")) for name, source in sources.items()}
    changed = frozenset(name for name, source in sources.items() if source.get("dirty"))
    config = study.records.get(REPORT, {}).get("params", {})
    numbers = dict(leaves(study.numbers))
    return Side(study.name("").rstrip("/"), config, inputs, ran, numbers, changed)


def committed(commit: str, base: Path, pair: str | None) -> Side:
    """A study as a commit holds it; UserError if it lacks a part of it, or holds a damaged one."""
    try:
        return _committed(commit, base, pair)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError):
        raise UserError(
            f"commit {commit}: config.yaml, dvc.lock or {METRICS} is not what a study leaves; name another commit"
        ) from None


def _committed(commit: str, base: Path, pair: str | None) -> Side:
    config = yaml.safe_load(shown(base, commit, "config.yaml"))
    pair = pair or config["pair"]["name"]
    lock = yaml.safe_load(shown(base, commit, "dvc.lock"))
    above = f"results/{pair}/"
    entries = [
        entry
        for stage in lock["stages"].values()
        for entry in (*stage.get("deps", []), *stage.get("outs", []))
        if not entry["path"].startswith(("results/", ".snakemake")) or entry["path"].startswith(above)
    ]
    inputs = {
        entry["path"].removeprefix(above): entry["md5"] for entry in entries if not entry["path"].endswith(METRICS)
    }
    numbers = dict(leaves(json.loads(shown(base, commit, above + METRICS))))
    full = (git(base, "rev-parse", f"{commit}^{{commit}}") or b"").decode().strip()
    return Side(commit, config, inputs, {EVERY: full}, numbers)


def shown(base: Path, commit: str, path: str) -> str:
    """A file as a commit holds it; UserError if it does not."""
    content = git(base, "show", f"{commit}:./{path}")
    if content is None:
        raise UserError(f"commit {commit} holds no {path}")
    return content.decode()


def lines(one: Side, other: Side, base: Path) -> Iterator[str]:
    """What differs, in words."""
    yield f"{one.name} -> {other.name}"
    yield from section("inputs", inputs(one, other))
    yield from section("params", params(one, other))
    yield from section("code", code(one, other, base))
    yield from section("numbers", numbers(one, other))


def section(title: str, found: Iterator[str]) -> Iterator[str]:
    """A part with its count; "the same" if there is nothing in it."""
    told = list(found)
    yield f"\n{title}: {len(told)} differ" if told else f"\n{title}: the same"
    yield from (f"  {line}" for line in told)


def inputs(one: Side, other: Side) -> Iterator[str]:
    """Files with other content, and those that only one side has."""
    for path in dict.fromkeys([*one.inputs, *other.inputs]):
        before, after = one.inputs.get(path), other.inputs.get(path)
        if before != after:
            yield f"{path}  {(before or 'none')[:12]} -> {(after or 'none')[:12]}"


def params(one: Side, other: Side) -> Iterator[str]:
    """Settings with other values."""
    for path in different(one.config, other.config):
        yield f"{'.'.join(path)}  {at(one.config, path)!r} -> {at(other.config, path)!r}"


def code(one: Side, other: Side, base: Path) -> Iterator[str]:
    """Each pair of commits that a step ran at, and the source files that differ between the two."""
    for (before, after), steps in moved(one, other).items():
        pair = f"commit {before[:12]} -> {after[:12]} of {first(steps)}"
        if known(base, before) and known(base, after):
            listed = git(base, "diff", "--name-status", before, after, "--", "src", "workflow", "Snakefile") or b""
            names = listed.decode().expandtabs(4).splitlines()
            yield pair if names else f"{pair}: no source file differs"
            yield from names
        else:
            yield f"{pair}: the checkout lacks one of them, so their files cannot be compared"
    for side in (one, other):
        if side.changed:
            yield f"{side.name}: {first(set(side.changed))} ran with changes on top of its commit"


def moved(one: Side, other: Side) -> dict[tuple[str, str], set[str]]:
    """Steps by the two commits they ran at, where these differ; a step that only one side has is left out."""
    found: dict[tuple[str, str], set[str]] = {}
    for step in dict.fromkeys([*one.ran, *other.ran]):
        before, after = (side.ran.get(step, side.ran.get(EVERY)) for side in (one, other))
        if before and after and before != after:
            found.setdefault((before, after), set()).add(step)
    return found


def numbers(one: Side, other: Side) -> Iterator[str]:
    """Numbers with other values; says where the 95 % intervals do not meet."""
    for key in dict.fromkeys([*one.numbers, *other.numbers]):
        before, after = one.numbers.get(key), other.numbers.get(key)
        if not equal(before, after):
            yield f"#{key}  {worded(before)} -> {worded(after)}{apart(before, after)}"


def worded(value: Any) -> str:
    """A number to six digits, with its interval if it has one; of a table its length."""
    if isinstance(value, Mapping):
        return f"{value['mean']:.6g} [{value['low']:.6g}, {value['high']:.6g}]"
    if isinstance(value, list):
        return f"a table of {len(value)}"
    return f"{value:.6g}" if isinstance(value, int | float) else str(value or "none")


def apart(one: Any, other: Any) -> str:
    """A remark if both have intervals and these do not meet."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return "  intervals apart" if one["high"] < other["low"] or other["high"] < one["low"] else ""
    return ""
