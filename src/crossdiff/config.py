"""The one definition of the config, of the parts in `crossdiff.parts`; reading and writing it.

python -m crossdiff.config --schema     print the JSON schema (kept in workflow/schemas/)
python -m crossdiff.config config.yaml  check a file
"""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from crossdiff.cli import stage
from crossdiff.dictionaries.published.settings import Entry, Published, without_null
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.errors import UserError
from crossdiff.evidence.interpretation.settings import Examination
from crossdiff.parts import (
    Activations,
    Attribution,
    Calibration,
    Compute,
    Corpus,
    DictionaryName,
    Pair,
    Part,
    Seed,
    Synthetic,
)

T = TypeVar("T")
Entries = Annotated[
    dict[DictionaryName, Entry],
    Field(min_length=1),
    BeforeValidator(without_null, json_schema_input_type=dict[DictionaryName, Entry | None]),
]


class Config(Part):
    """A study."""

    pair: Pair
    corpus: Corpus
    activations: Activations
    dictionaries: Entries
    """Dictionaries by name: to train, each for every seed; or published ones, `from` a hub id or path, taken once.
    null in an overlay leaves one of the config below out."""
    seeds: list[Seed] = Field([0, 1, 2], min_length=1)
    """Seeds of initialisation and batch order."""
    attribution: Attribution = Attribution()
    evidence: Examination = Examination()
    synthetic: Synthetic | None = Synthetic()
    """The synthetic benchmark; null leaves it out."""
    calibration: Calibration = Calibration()
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _known_sources(self) -> "Config":
        known = {source.name for source in self.corpus.sources} | {"planted"}
        for name, recipe in self.trained.items():
            unknown = set(recipe.sources or ()) - known
            if unknown:
                raise ValueError(
                    f"dictionaries.{name}.sources: no corpus source is called {', '.join(sorted(unknown))};"
                    f" there are {', '.join(sorted(known))}"
                )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: each seed once")
        return self

    @property
    def null_pair(self) -> Pair | None:
        """The base and the null tune, if there is one and dictionaries that can be trained on it."""
        tune = self.calibration.null_tune
        return self.pair.model_copy(update={"chat": tune}) if tune is not None and self.trained else None

    @property
    def trained(self) -> dict[str, Recipe]:
        """The dictionaries that are trained."""
        return {name: entry for name, entry in self.dictionaries.items() if isinstance(entry, Recipe)}

    @property
    def imported(self) -> dict[str, Published]:
        """The published dictionaries."""
        return {name: entry for name, entry in self.dictionaries.items() if isinstance(entry, Published)}

    def seeds_of(self, name: str) -> list[int]:
        """Seeds of a dictionary's runs: all, or the first one's number for the one run of a published dictionary."""
        return self.seeds if name in self.trained else self.seeds[:1]


def explain(error: ValidationError, where: str) -> str:
    """One line a fault: the key, what is wrong, what was given."""
    lines = []
    for fault in error.errors():
        parts = [str(part) for part in fault["loc"]]
        if parts[:1] == ["dictionaries"] and parts[2:3] in (["recipe"], ["published"]):
            del parts[2]  # which kind of entry was understood
        key = ".".join(parts) or "config"
        text = fault["msg"].removeprefix("Value error, ")
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            text = "no such key; see workflow/schemas/config.schema.json for those there are"
        elif not isinstance(fault["input"], dict | list):
            text += f" (got {fault['input']!r})"
        lines.append(f"{where}: {key}: {text}")
    return "\n".join(lines)


def parse(kind: type[T], data: Any, where: str = "config.yaml") -> T:
    """``data`` as a ``kind`` (Config, a part of it, or Recipe); UserError names each wrong key."""
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise UserError(explain(error, where)) from None


def settings(kind: type[T], text: str) -> T:
    """Settings of a stage given on its command line: inline JSON, or the name of a YAML or JSON file."""
    if text.lstrip().startswith("{"):
        return parse(kind, json.loads(text), "--settings")
    return parse(kind, yaml.safe_load(Path(text).read_text()), text)


def dump(part: Any) -> str:
    """A part of the config as one line of JSON: what a stage takes as ``--settings``."""
    return TypeAdapter(type(part)).dump_json(part).decode()


def schema() -> str:
    """JSON schema of the config, for editors and for Snakemake."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema()
    return json.dumps(document, indent=1) + "\n"


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="Config files; later ones override earlier ones.")] = None,
    print_schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema.")] = False,
) -> None:
    """Check config files, or print the schema."""
    if print_schema:
        typer.echo(schema(), nl=False)
        return
    data: dict[str, Any] = {}
    for file in files or []:
        data = merged(data, yaml.safe_load(file.read_text()) or {})
    parse(Config, data, str(files[-1] if files else "config"))
    typer.echo("ok")


def merged(below: Any, above: Any) -> Any:
    """``above`` laid over ``below``, dicts key by key, as Snakemake merges config files."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}


if __name__ == "__main__":
    stage(main)
