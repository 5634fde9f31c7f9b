"""The one definition of the config, of the parts in `crossdiff.parts`, and its schema.

python -m crossdiff.config --schema     print the JSON schema (kept in workflow/schemas/)
python -m crossdiff.config config.yaml  check a file
"""

import json
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BeforeValidator, Field, model_validator

from crossdiff import overlay
from crossdiff.cli import stage
from crossdiff.dictionaries.published.settings import Entry, Published, without_null
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.errors import UserError
from crossdiff.evidence.interpretation.settings import Examination
from crossdiff.fields import DictionaryName, Seeds
from crossdiff.overlay import Layers, merged
from crossdiff.parsing import parse
from crossdiff.parts import Part
from crossdiff.parts.activations import Activations
from crossdiff.parts.attribution import Attribution
from crossdiff.parts.calibration import Calibration
from crossdiff.parts.compute import Compute
from crossdiff.parts.corpus import Corpus
from crossdiff.parts.examples import Examples
from crossdiff.parts.pair import Pair
from crossdiff.parts.synthetic import Synthetic

Entries = Annotated[
    dict[DictionaryName, Entry],
    Field(min_length=1),
    BeforeValidator(without_null, json_schema_input_type=dict[DictionaryName, Entry | None]),
]


DEFAULT = Path("config.yaml")
"""Where the study stands that overlays are laid over."""
LONGEST_NAME = 100
"""Letters of a name that files and folders are called by."""
LARGEST_SEED = 2**32 - 1


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
    examples: Examples = Examples()
    evidence: Examination = Examination()
    synthetic: Synthetic | None = Synthetic()
    """The synthetic benchmark; null leaves it out."""
    calibration: Calibration = Calibration()
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _recipes_fit(self) -> "Config":
        known = {source.name for source in self.corpus.sources} | {"planted"}
        for name, recipe in self.trained.items():
            unknown = set(recipe.sources or ()) - known
            if unknown:
                raise ValueError(
                    f"dictionaries.{name}.sources: no corpus source is called {', '.join(sorted(unknown))};"
                    f" there are {', '.join(sorted(known))}"
                )
            if recipe.batch > self.corpus.train_tokens:
                raise ValueError(
                    f"dictionaries.{name}.batch: {recipe.batch} tokens a step, but corpus.train_tokens is"
                    f" {self.corpus.train_tokens}; lower the one or raise the other"
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
    def _names_are_files(self) -> "Config":
        for key, name in (("pair.name", self.pair.name), *(("dictionaries", name) for name in self.dictionaries)):
            if len(name) > LONGEST_NAME:
                raise ValueError(f"{key}: {name[:20]}… has {len(name)} letters; give it {LONGEST_NAME} at most")
        if max(self.seeds) > LARGEST_SEED:
            raise ValueError(f"seeds: {max(self.seeds)} is too large; {LARGEST_SEED} is the largest that tables hold")
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
    def synthetic_null(self) -> bool:
        """Whether calls are calibrated on the synthetic benchmark's nulls."""
        return self.synthetic is not None and self.calibration.synthetic

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


def read(files: Iterable[Path]) -> Config:
    """The study in config files, later ones laid over earlier ones; UserError names the file and the key."""
    layers = {str(file): overlay.read(file) for file in files}
    check_named(layers)
    return parse(Config, reduce(merged, layers.values(), {}), layers)


def read_overlay(overlay: Path | None = None) -> Config:
    """The study of config.yaml, with ``overlay`` laid over it."""
    return read([DEFAULT, *([overlay] if overlay else [])])


def check_named(layers: Layers) -> None:
    """UserError if a file changes a model of the pair and keeps its name: two pairs would share one folder."""
    for name, data in list(layers.items())[1:]:
        pair = data["pair"] if isinstance(data.get("pair"), dict) else {}
        changed = [side for side in ("base", "chat") if side in pair]
        if changed and "name" not in pair:
            keys = " and ".join(f"pair.{side}" for side in changed)
            raise UserError(
                f"{name}: {keys} {'is' if len(changed) == 1 else 'are'} changed and pair.name is not, so the study"
                " would overwrite the results of the pair below it; give pair.name, a name of its own"
            )


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
