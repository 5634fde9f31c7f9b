"""What the files that a config names say against it, as far as a moment's reading tells: no model library is loaded.

`crossdiff check` asks here; `crossdiff check-pair` loads tokenizers and templates and says more.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from crossdiff.config import Config
from crossdiff.corpus.formats import local_files
from crossdiff.errors import UserError
from crossdiff.evidence.interpretation.endpoint import INTERPRETATION, endpoint
from crossdiff.evidence.interpretation.settings import Judge
from crossdiff.parts.corpus import Corpus, CorpusSource, Rows
from crossdiff.paths import local
from crossdiff.provenance.files import read_object
from crossdiff.truth import behaviours
from crossdiff.workflow import key_of, model, sides, source_of

PACKAGED = {"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53": 30}
"""Blocks of the models in packages, by the file's hash: what is wrong of them is told before they are fetched."""
HEAD = 2**20
"""Characters of a JSON file that are read in search of its first row."""


def check_contents(study: Config) -> None:
    """UserError names the first key that the files speak against; what is not there yet says nothing."""
    shape = next((facts for side in ("base", "chat") if (facts := text_config(model(study, side).path))), {})
    _check_planted(study)
    _check_judges(study)
    _check_blocks(study, shape.get("num_hidden_layers"))
    hold = [_holds_conversations(source) for source in study.corpus.sources]
    for source in study.corpus.sources:
        _check_enough(source, study.corpus)
    if study.evidence.prompts:
        _holds_conversations(study.evidence.prompts)
    elif not study.pair.behaves and not any(found or found is None for found in hold):
        raise UserError(
            "corpus.sources: none holds conversations, so there would be no assistant's answer for the KL experiment to"
            " predict; add a source whose column holds lists of {role, content}, or name evidence.prompts"
        )
    for name, published in study.imported.items():
        if local(published.origin):
            _check_published(study, name, shape.get("hidden_size"))


def _check_judges(study: Config) -> None:
    """UserError if a judge's key is not set, or its folder is none of a model."""
    for key, judge in judges_of(study).items():
        if judge.path is None:
            endpoint(judge, key)
        elif local(judge.path) and not Path(judge.path, "config.json").is_file():
            raise UserError(f"{key}.path: there is no model in {judge.path}, no config.json; mend the path")


def judges_of(study: Config) -> dict[str, Judge]:
    """The language models that are asked about latents, by what the config calls them."""
    chosen = study.evidence.interpretation
    if chosen is None:
        return {}
    both = {"explainer": chosen.explainer, "scorer": chosen.scorer}
    return {f"{INTERPRETATION}.{name}": judge for name, judge in both.items() if judge is not None}


def text_config(folder: str) -> dict[str, Any] | None:
    """The part of a model's config.json on its text model; None if there is none here. UserError if it is no JSON."""
    file = Path(folder, "config.json")
    if not file.is_file():
        return None
    facts = read_object(file, "", "save the model again with save_pretrained")
    found = facts.get("text_config", facts)
    return found if isinstance(found, dict) else facts


def _check_planted(study: Config) -> None:
    for side in sides(study):
        if planted := source_of(study, side).planted:
            behaviours.load(planted.behaviours, f"{key_of(side)}.planted")
            behaviours.general(planted.general, f"{key_of(side)}.planted")


def _check_blocks(study: Config, blocks: int | None) -> None:
    package = study.pair.base.package
    if blocks is None and package:
        blocks = PACKAGED.get(package.sha256)
    if not isinstance(blocks, int):
        return
    wanted = [("activations.layer", study.activations.layer)]
    if isinstance(study.evidence.layer_sweep, list):
        wanted += [("evidence.layer_sweep", layer) for layer in study.evidence.layer_sweep]
    for side in sides(study):
        if planted := source_of(study, side).planted:
            wanted.append((f"{key_of(side)}.planted.first_layer", planted.first_layer))
    for key, layer in wanted:
        if layer >= blocks:
            raise UserError(f"{key}: block {layer} does not exist; the models have {blocks}, 0 to {blocks - 1}")


def _holds_conversations(source: Rows) -> bool | None:
    """Whether its column holds conversations; None if the rows are not here. UserError if there is no such column."""
    for file in local_files(source)[:1]:
        columns = columns_of(file, source.where)
        if columns is not None and source.column not in columns:
            raise UserError(
                f"{source.where}.column: {file} has no column {source.column!r}; there are"
                f" {', '.join(map(repr, columns)) or 'none'}"
            )
        return None if columns is None else columns[source.column]
    return None


def _check_enough(source: CorpusSource, corpus: Corpus) -> None:
    """UserError if a source's local parquet rows are too few, each as long as a row can be."""
    import polars as pl

    files = local_files(source)
    if not files or not all(file.endswith(".parquet") for file in files):
        return
    rows = sum(pl.scan_parquet(file, glob=False).select(pl.len()).collect().item() for file in files)
    wanted = source.share * (corpus.train_tokens + corpus.validation_tokens)
    if rows * corpus.context < wanted:
        raise UserError(
            f"{source.where}: {source.path} has {rows:,} rows, at most {rows * corpus.context:,} tokens of"
            f" corpus.context = {corpus.context}, but its share is {wanted:,.0f}; lower corpus.train_tokens and"
            " validation_tokens, or give it more rows"
        )


def columns_of(file: str, where: str) -> dict[str, bool] | None:
    """Columns of a local file of rows, and whether each holds lists, as conversations are.

    Of a JSON file those of its first row, None if that is too long.
    """
    if file.endswith(".parquet"):
        import polars as pl

        try:
            return {name: isinstance(kind, pl.List) for name, kind in pl.read_parquet_schema(file).items()}
        except (pl.exceptions.PolarsError, OSError) as error:
            raise UserError(f"{where}.path: {file} cannot be read as parquet ({error}); write it again") from None
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.endswith(".gz") else open(file, encoding="utf-8") as rows:
            text = rows.read(HEAD)
        row, _ = json.JSONDecoder().raw_decode(text.lstrip().removeprefix("[").lstrip())
    except (ValueError, OSError, EOFError) as error:
        if isinstance(error, json.JSONDecodeError) and len(text) == HEAD:
            return None
        raise UserError(f"{where}.path: {file} cannot be read as JSON ({error}); write one object a row") from None
    if not isinstance(row, dict):
        raise UserError(f"{where}.path: the first row of {file} is no JSON object; write one object a row")
    return {name: isinstance(value, list) for name, value in row.items()}


def _check_published(study: Config, name: str, width: int | None) -> None:
    """The folder holds one dictionary of a known format, and it is as wide as the models."""
    from safetensors import SafetensorError, safe_open

    from crossdiff.dictionaries.published.registry import weights

    published, key = study.imported[name], f"dictionaries.{name}.from"
    path = Path(published.origin).expanduser() / (published.subfolder or "")
    _, file = weights(path, published.format, f"{key}: {path}")
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, "np") as tensors:
            shapes = [tensors.get_slice(tensor).get_shape() for tensor in tensors.keys()]  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{key}: {file} cannot be read ({error}); fetch it again") from None
    if isinstance(width, int) and not any(width in shape for shape in shapes):
        raise UserError(f"{key}: no tensor of {file} has the models' width {width}: it was trained on another model")
