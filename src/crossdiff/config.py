"""The one definition of the config, of the parts in `crossdiff.parts`; reading and writing it.

python -m crossdiff.config --schema     print the JSON schema (kept in workflow/schemas/)
python -m crossdiff.config config.yaml  check a file
"""

import json
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ArgsKwargs

from crossdiff import overlay
from crossdiff.cli import stage
from crossdiff.dictionaries.published.settings import Entry, Published, without_null
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.errors import UserError
from crossdiff.evidence.interpretation.settings import Examination
from crossdiff.fields import DictionaryName, Seeds
from crossdiff.overlay import Keys, Layers, giver, has, merged
from crossdiff.parts import Activations, Attribution, Calibration, Compute, Corpus, Pair, Part, Synthetic

T = TypeVar("T")
UNKNOWN = "no such key; see workflow/schemas/config.schema.json for those there are"
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
    seeds: Seeds = Field([0, 1, 2])
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
        return self

    @model_validator(mode="after")
    def _rows_fit(self) -> "Config":
        context, activations = self.corpus.context, self.activations
        if activations.batch_tokens < context:
            raise ValueError(
                f"activations.batch_tokens: {activations.batch_tokens} is less than a row of {context} tokens"
                " (corpus.context); raise it"
            )
        if activations.skip_first >= context:
            raise ValueError(
                f"activations.skip_first: {activations.skip_first} leaves nothing of rows of {context} tokens"
                " (corpus.context); lower it"
            )
        return self

    @model_validator(mode="after")
    def _null_is_another_model(self) -> "Config":
        for name, source in (("base", self.pair.base), ("chat", self.pair.chat)):
            if self.calibration.null_tune is not None and self.calibration.null_tune.same(source):
                raise ValueError(
                    f"calibration.null_tune: this is pair.{name} itself; name another tune of the base, or null"
                )
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


LINES = "Input should be `key: value` lines"
PLAIN = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "dataclass_type"), LINES),
    **dict.fromkeys(("list_type", "tuple_type"), "Input should be a list, as in [a, b]"),
    **dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), UNKNOWN),
    "invalid_key": "a key must be a word; quote a number",
}
"""What pydantic tells in words of Python, by its kind of fault."""


def explain(error: ValidationError, data: Any, where: str | Layers) -> str:
    """One line a faulty key of ``data``: its file, the key, what is wrong, what was given."""
    told: dict[Keys, list[str]] = {}
    given: dict[Keys, Any] = {}
    for fault in error.errors():
        path = _path(fault["loc"], data, missing=fault["type"] == "missing")
        told.setdefault(path, []).append(PLAIN.get(fault["type"], fault["msg"].removeprefix("Value error, ")))
        given[path] = fault["input"]
    lines = []
    for path, (first, *others) in told.items():
        file = where if isinstance(where, str) else giver(where, path)
        text = ", or ".join([first, *(other.removeprefix("Input should be ") for other in others)])
        if first != UNKNOWN and not isinstance(given[path], dict | list | ArgsKwargs):
            text += f" (got {given[path]!r})"
        lines.append(f"{file}: {'.'.join(map(str, path)) or 'config'}: {text}")
    return "\n".join(lines)


def _path(loc: Keys, data: Any, missing: bool) -> Keys:
    """The keys that lead to a fault, without the names of the kinds that pydantic tried there."""
    path: list[str | int] = []
    for part in loc[: len(loc) - missing]:
        if has(data, part):
            path.append(part)
            data = data[part]
    return (*path, *loc[len(loc) - missing :])


def parse(kind: type[T], data: Any, where: str | Layers = "config.yaml") -> T:
    """``data`` as a ``kind`` (Config, a part of it, or Recipe); UserError names each wrong key.

    ``where`` is the file that a message names, or the files that were merged, of which it names the one with the key.
    """
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise UserError(explain(error, data, where)) from None


def read(files: Iterable[Path]) -> Config:
    """The study in config files, later ones laid over earlier ones; UserError names the file and the key."""
    layers = {str(file): overlay.read(file) for file in files}
    return parse(Config, reduce(merged, layers.values(), {}), layers)


def settings(kind: type[T], text: str) -> T:
    """Settings of a stage given on its command line: inline JSON, or the name of a YAML or JSON file."""
    if not text.lstrip().startswith("{"):
        return parse(kind, overlay.read(Path(text)), text)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings: no JSON ({error}); give one JSON object, or the name of a file") from None
    return parse(kind, data, "--settings")


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
    elif files:
        read(files)
        typer.echo("ok")
    else:
        raise UserError("name the config files to check, or --schema")


if __name__ == "__main__":
    stage(main)
