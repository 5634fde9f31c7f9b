"""A study as the checks see it: records, numbers and sources, read once; a damaged file is told as damaged."""

import json
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from crossdiff.config import Config
from crossdiff.errors import UserError
from crossdiff.parsing import parse
from crossdiff.provenance import origins
from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.files import AFTER
from crossdiff.provenance.origins import METRICS, Origins
from crossdiff.provenance.record import read as read_record
from crossdiff.workflow import results

if TYPE_CHECKING:
    from crossdiff.report.collect import Study as Tables

REPORT = "report/run.json"


class Study:
    """results/<pair> and the checkout it lies in.

    ``fast``: big shards whose size and time are as they should be are not read.
    """

    def __init__(self, root: Path, hashes: Hashes, fast: bool = False) -> None:
        if not (root / METRICS).is_file():
            raise UserError(f"{root} holds no {METRICS}: give the folder of a finished study, results/<pair>{AFTER}")
        if not any(root.rglob("*run.json")):
            raise UserError(f"{root} holds {METRICS} alone, as a fresh clone does, and none of what it rests on{AFTER}")
        self.root = root.absolute()
        self.base = self.root.parents[1]
        """The folder that the study's commands run in, which recorded paths count from."""
        self.hashes, self.fast = hashes, fast

    @property
    def pair(self) -> str:
        """The name of the pair."""
        return self.root.name

    def name(self, file: str) -> str:
        """A file under results/<pair> as messages and records name it."""
        return f"results/{self.pair}/{file}"

    def inside(self, path: str) -> str | None:
        """A recorded path relative to results/<pair>; None if it lies elsewhere."""
        above = f"results/{self.pair}/"
        return path.removeprefix(above) if path.startswith(above) else None

    def json(self, file: str) -> Any:
        """A JSON file under results/<pair>; None if it is missing or damaged."""
        try:
            return json.loads((self.root / file).read_text())
        except (OSError, ValueError):
            return None

    @cached_property
    def config(self) -> Config | None:
        """The config that the report was made with; else the one in config.yaml; None if neither can be read."""
        for data in ((self.json(REPORT) or {}).get("params"), self.raw_config):
            try:
                return parse(Config, data)
            except (UserError, TypeError):
                continue
        return None

    @cached_property
    def raw_config(self) -> dict[str, Any] | None:
        """config.yaml as it stands; None if it is missing or no YAML."""
        try:
            found = yaml.safe_load((self.base / "config.yaml").read_text())
        except (OSError, ValueError, yaml.YAMLError):
            return None
        return found if isinstance(found, dict) else None

    @cached_property
    def expected(self) -> list[str]:
        """Names of the records that the study must have."""
        if self.config is None:
            return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*run.json"))
        return [*(name for name in results(self.config) if name.endswith("run.json")), REPORT]

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """run.json of each step, by its path under results/<pair>; those that can be read."""
        found = {}
        for name in self.expected:
            with suppress(UserError):
                found[name] = read_record(self.root / name)
        return found

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """metrics.json; None if it is damaged."""
        try:
            return self.numbers
        except UserError:
            return None

    @property
    def numbers(self) -> dict[str, Any]:
        """metrics.json; UserError if it is damaged."""
        return origins.read_metrics(self.root / METRICS)

    @cached_property
    def origins(self) -> Origins:
        """Where the numbers come from; told from the tables if report/origins.json cannot be read, else unknown."""
        try:
            return origins.read(self.root / origins.NAME)
        except UserError:
            return self._told_by_tables()

    @cached_property
    def tables(self) -> "Tables":
        """All that the report is drawn from, read by its own code, which may fail in any way on damaged tables."""
        from crossdiff.report.collect import collect

        if self.config is None:
            raise UserError("no config can be read")
        return collect(self.config, self.root)

    def _told_by_tables(self) -> Origins:
        from crossdiff.report.origins import origins as made_of

        try:
            return made_of(self.tables, self.metrics) if self.metrics else Origins({})
        except Exception:  # damaged tables may fail anywhere; then every number counts as tainted
            return Origins({})

    @cached_property
    def steps(self) -> dict[str, list[str]]:
        """Inputs of each step, by its record."""
        return {name: list(record.get("inputs", {})) for name, record in self.records.items()}
