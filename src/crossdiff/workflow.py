"""What the Snakefile needs to know: the source files of a step, and the local files that the config names."""

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any, Literal

from crossdiff.config import Config, parse
from crossdiff.dictionaries.published.settings import Published
from crossdiff.errors import UserError
from crossdiff.parts import Rows, Source

SRC = Path(__file__).resolve().parents[1]
Side = Literal["base", "chat"]
TABLES = (".parquet", ".jsonl", ".json", ".jsonl.gz", ".json.gz")
MADE_MODEL = ("model.safetensors", "run.json")
DICTIONARY = ("dictionary.safetensors", "dictionary.json", "training.parquet", "run.json")
IMPORTED = tuple(file for file in DICTIONARY if file != "training.parquet")
WEIGHTS = ("*.safetensors", "*.pt", "*.json")
TABLES_OF_LATENTS = ("examples", "tokens", "descriptions", "twins", "template", "comparisons")
LATENTS = ("parquet", *(f"{name}.parquet" for name in TABLES_OF_LATENTS), "run.json")
CALLS = ("parquet", "run.json")
INTERPRETATION = ("parquet", "verdicts.parquet", "run.json")
SHARED = "shared.safetensors"
LAYERS = ("kl.parquet", "run.json")
PROMPTED = ("rows.parquet", "run.json")
STEERED = ("steering.parquet", "run.json")
SYNTHETIC = ("latents.parquet", "scores.parquet", "factors.parquet", "run.json")
REPORT = ("report/report.html", "report/origins.json", "report/run.json", "metrics.json")
CRATE = "ro-crate-metadata.json"
MODEL_FILES = ("*.safetensors", "*.json", "*.model", "*.jinja", "tokenizer*.txt", "merges.txt", "vocab.txt")


@dataclass(frozen=True)
class Model:
    """A model as the rules see it."""

    path: str
    """Its folder, or a hub id."""
    files: list[str]
    """The files there that tell one version of it from another; none for a hub id."""
    made: bool
    """Whether rules make it."""


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


def _file(module: str) -> Path | None:
    stem = SRC.joinpath(*module.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


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
    """Nodes that run: not those for type checkers, and those inside functions only if ``functions``."""
    for node in ast.iter_child_nodes(tree):
        checking = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if not checking and (functions or not isinstance(node, ast.FunctionDef)):
            yield node
            yield from _running(node, functions)


def environment() -> None:
    """Let steps run with this Python and this tree's source, wherever Snakemake was started from."""
    for key, first in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", SRC)):
        rest = [part for part in os.environ.get(key, "").split(os.pathsep) if part and part != str(first)]
        os.environ[key] = os.pathsep.join([str(first), *rest])


def checked(config: dict[str, Any]) -> Config:
    """The config as a study whose local files exist; exit with one message if it is not."""
    try:
        study = parse(Config, config)
        check_files(study)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    return study


def check_files(study: Config) -> None:
    """UserError names the first local file or folder of the config that is not there."""
    for side in ("base", "chat"):
        model_files(study, side)
    for source in (*study.corpus.sources, *([study.evidence.prompts] if study.evidence.prompts else [])):
        corpus_files(source)
    for name, published in study.imported.items():
        published_files(published, name)
    for dictionary in study.dictionaries:
        null_latents(study, dictionary)
    if study.pair.chat.planted is not None and not (made(study, "base") or local(study.pair.base.path)):
        raise UserError(
            f"pair.chat.planted: the base {study.pair.base.path} is a hub id;"
            " download it and give its folder as pair.base.path"
        )


def benchmarked(study: Config) -> list[str]:
    """Dictionaries that the synthetic benchmark trains: all that are trained here, if the study has one."""
    return list(study.trained) if study.synthetic else []


def results(study: Config) -> list[str]:
    """Every result a report is drawn from, by its path under results/<pair>."""
    runs = [f"{name}-seed{seed}" for name in study.dictionaries for seed in study.seeds_of(name)]
    made_by = {f"{name}-seed{seed}": IMPORTED for name in study.imported for seed in study.seeds_of(name)}
    return [
        *(f"models/{side}/{file}" for side in ("base", "chat") if made(study, side) for file in MADE_MODEL),
        *("pair/pair.json", "pair/run.json"),
        *(("truth/answers.parquet", "truth/behaviours.json", "truth/run.json") if study.pair.behaves else ()),
        *(f"truth/synthetic/{name}/{file}" for name in benchmarked(study) for file in SYNTHETIC),
        *("corpus/rows.parquet", "corpus/run.json"),
        *("activations/manifest.json", "activations/run.json"),
        *(f"dictionaries/{run}/{file}" for run in runs for file in made_by.get(run, DICTIONARY)),
        *(f"latents/{run}.{ending}" for run in runs for ending in LATENTS),
        *(f"evidence/{run}/{file}" for run in ["baselines", *runs] for file in evidence_results(study)),
        *(f"evidence/steering-{run}/{file}" for run in runs for file in STEERED if study.evidence.steering),
        *(f"evidence/layers/{file}" for file in LAYERS if study.evidence.layer_sweep),
        *(f"evidence/prompts/{file}" for file in PROMPTED if study.evidence.prompts),
        *(f"calls/{name}.{ending}" for name in study.dictionaries for ending in CALLS),
        *(f"evidence/interpretation/{run}.{ending}" for run in interpreted(study) for ending in INTERPRETATION),
    ]


def interpreted(study: Config) -> list[str]:
    """Dictionaries and seeds whose latents are explained: the first seed of each, if language models are asked."""
    return [f"{name}-seed{study.seeds_of(name)[0]}" for name in study.dictionaries if study.evidence.interpretation]


def null_latents(study: Config, dictionary: str) -> list[str]:
    """Latent tables of one dictionary in the studies named by `calibration.nulls`, every seed there is."""
    found = []
    for null in study.calibration.nulls:
        pattern = f"results/{null}/latents/{dictionary}-seed*.parquet"
        files = sorted(file for file in glob(pattern) if file.count(".") == 1)
        if not files:
            raise UserError(
                f"calibration.nulls: there is no {pattern}; make the null's study first"
                f" (make study CONFIG=configs/null.yaml for smollm2-null), or take {null} out"
            )
        found += files
    return found


def evidence_results(study: Config) -> list[str]:
    """Files of one evidence step."""
    planted = ("behaviours.parquet", "collateral.parquet", "detection.parquet")
    return ["kl.parquet", "run.json", *(planted if study.pair.behaves else ())]


def model_files(study: Config, side: Side) -> list[str]:
    """Local files that a model's source names: a GGUF file, or the files of a model folder; none for a hub id."""
    source: Source = getattr(study.pair, side)
    named = [_existing(source.chat_template, f"pair.{side}.chat_template")] if source.chat_template else []
    if source.path is None or not local(source.path):
        return named
    path = _existing(source.path, f"pair.{side}.path")
    if source.gguf:
        path = _existing(str(Path(path, source.gguf)), f"pair.{side}.gguf")
    if Path(path).is_file():
        if not path.endswith(".gguf"):
            raise UserError(f"pair.{side}.path: {path} is a file but no GGUF; give the model's folder")
        return [path, *named]
    files = sorted({str(file) for pattern in MODEL_FILES for file in Path(path).glob(pattern)})
    if not any(file.endswith(".safetensors") for file in files):
        raise UserError(
            f"pair.{side}.path: there is no *.safetensors in {path}; save the model with save_pretrained first"
        )
    return files + named


def gguf_file(study: Config, side: Side) -> str | None:
    """The local GGUF file a model is converted from, if it comes from one that needs no fetching."""
    return next((file for file in model_files(study, side) if file.endswith(".gguf")), None)


def made(study: Config, side: Side) -> bool:
    """Whether rules make this model's folder: from a package, from a GGUF file, or by planting."""
    source: Source = getattr(study.pair, side)
    return source.path is None or source.gguf is not None or source.path.endswith(".gguf")


def model(study: Config, side: Side) -> Model:
    """Where the steps find a model."""
    source: Source = getattr(study.pair, side)
    if not made(study, side):
        return Model(str(source.path), model_files(study, side), False)
    path = f"results/{study.pair.name}/models/{side}"
    template = [source.chat_template] if source.chat_template else []
    return Model(path, [*(f"{path}/{file}" for file in MADE_MODEL), *template], True)


def corpus_files(source: Rows) -> list[str]:
    """Local files of a source of rows; none for a `datasets` id or a folder that `datasets` reads."""
    if not source.path.endswith(TABLES):
        if local(source.path):
            _existing(source.path, f"{source.where}.path")
        return []
    files = sorted(glob(source.path, recursive=True))
    if not files:
        raise UserError(f"{source.where}.path: there is no {source.path}; mend the path (it counts from {Path.cwd()})")
    return files


def published_files(published: Published, name: str) -> list[str]:
    """Local files of a published dictionary, as its rule sees them; none for a hub id."""
    if not local(published.origin):
        return []
    path = Path(_existing(str(Path(published.origin).expanduser()), f"dictionaries.{name}.from"))
    path = (
        Path(_existing(str(path / published.subfolder), f"dictionaries.{name}.subfolder"))
        if published.subfolder
        else path
    )
    beside = path.parent if path.is_file() else path
    patterns = ("*.json",) if path.is_file() else WEIGHTS
    found = {str(file) for pattern in patterns for file in beside.glob(pattern)}
    return sorted(found | ({str(path)} if path.is_file() else set()))


def local(path: str | None) -> bool:
    """Whether a path is meant as a local one rather than as a hub or `datasets` id (`name` or `owner/name`)."""
    return path is not None and (
        Path(path).exists() or path.startswith((".", "/", "~")) or path.endswith(".gguf") or path.count("/") > 1
    )


def _existing(path: str, key: str) -> str:
    if not Path(path).exists():
        raise UserError(f"{key}: there is no {path}; mend the path (it counts from {Path.cwd()})")
    return path
