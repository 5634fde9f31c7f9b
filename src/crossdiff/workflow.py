"""What the Snakefile needs to know: the local files that the config names, and the results that it asks for."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crossdiff.config import Config, check_named
from crossdiff.corpus.formats import local_files
from crossdiff.dictionaries.published.settings import Published
from crossdiff.errors import UserError
from crossdiff.overlay import read
from crossdiff.parsing import parse
from crossdiff.parts.pair import Source
from crossdiff.paths import local
from crossdiff.provenance.origins import NULL
from crossdiff.sources import SRC

Side = Literal["base", "chat", "null"]
"""The two models of the pair, and what the chat model is held against where calls are calibrated on a null tune."""
MADE_MODEL = ("model.safetensors", "run.json")
DICTIONARY = ("dictionary.safetensors", "dictionary.json", "training.parquet", "run.json")
IMPORTED = tuple(file for file in DICTIONARY if file != "training.parquet")
WEIGHTS = ("*.safetensors", "*.pt", "*.json")
TABLES_OF_LATENTS = ("tokens", "descriptions", "twins", "template", "comparisons", "firing")
LATENTS = ("parquet", *(f"{name}.parquet" for name in TABLES_OF_LATENTS), "run.json")
CALLS = ("parquet", "run.json")
EXAMPLES = ("parquet", "run.json")
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


def environment() -> None:
    """Let steps run with this Python and this tree's source, wherever Snakemake was started from."""
    for key, first in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", SRC)):
        rest = [part for part in os.environ.get(key, "").split(os.pathsep) if part and part != str(first)]
        os.environ[key] = os.pathsep.join([str(first), *rest])


def checked(config: dict[str, Any], files: Iterable[str | Path] = ()) -> Config:
    """The config as a study whose local files exist; exit with one message if it is not.

    ``files`` are those it was merged from, lowest first: they are read again, strictly, to say which has a wrong key.
    """
    try:
        layers = {str(file): read(Path(file)) for file in files}
        check_named(layers)
        study = parse(Config, config, layers or "config.yaml")
        check_files(study)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    return study


def check_files(study: Config) -> None:
    """UserError names the first local file or folder of the config that is not there."""
    for side in sides(study):
        model_files(study, side)
    for source in (*study.corpus.sources, *([study.evidence.prompts] if study.evidence.prompts else [])):
        local_files(source)
    for name, published in study.imported.items():
        published_files(published, name)
    planted = next((side for side in sides(study) if source_of(study, side).planted is not None), None)
    if planted and not (made(study, "base") or local(study.pair.base.path)):
        raise UserError(
            f"pair.base.path: there is no folder {study.pair.base.path} here, so it is taken for a hub id, and"
            f" {key_of(planted)}.planted needs the base in a folder: download it and give its folder, or mend the path"
            + (", or set calibration.null_tune: null" if planted == "null" else "")
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
        *(f"examples/{run}.{ending}" for run in runs for ending in EXAMPLES),
        *(f"evidence/interpretation/{run}.{ending}" for run in interpreted(study) for ending in INTERPRETATION),
        *(f"{NULL}/{file}" for file in null_results(study)),
    ]


def interpreted(study: Config) -> list[str]:
    """Dictionaries and seeds whose latents are explained: the first seed of each, if language models are asked."""
    return [f"{name}-seed{study.seeds_of(name)[0]}" for name in study.dictionaries if study.evidence.interpretation]


def null_results(study: Config) -> list[str]:
    """Results on the pair of base and null tune, relative to its folder: everything up to its latents; else none."""
    if study.null_pair is None:
        return []
    runs = [f"{name}-seed{seed}" for name in study.trained for seed in study.calibration.null_seeds]
    return [
        *(f"models/chat/{file}" for file in MADE_MODEL if made(study, "null")),
        *("pair/pair.json", "pair/run.json", "activations/manifest.json", "activations/run.json"),
        *(f"dictionaries/{run}/{file}" for run in runs for file in DICTIONARY),
        *(f"latents/{run}.{ending}" for run in runs for ending in LATENTS),
    ]


def null_latents(study: Config, dictionary: str) -> list[str]:
    """Latent tables of one dictionary on the null pair, relative to results/<pair>; none of a published one."""
    if study.null_pair is None or dictionary not in study.trained:
        return []
    return [f"{NULL}/latents/{dictionary}-seed{seed}.parquet" for seed in study.calibration.null_seeds]


def evidence_results(study: Config) -> list[str]:
    """Files of one evidence step."""
    planted = ("behaviours.parquet", "collateral.parquet", "detection.parquet")
    return ["kl.parquet", "run.json", *(planted if study.pair.behaves else ())]


def sides(study: Config) -> tuple[Side, ...]:
    """The models that the study reads."""
    return ("base", "chat", "null") if study.null_pair else ("base", "chat")


def source_of(study: Config, side: Side) -> Source:
    """Where one of them comes from."""
    found = {"base": study.pair.base, "chat": study.pair.chat, "null": study.calibration.null_tune}[side]
    if found is None:
        raise KeyError(side)
    return found


def key_of(side: Side) -> str:
    """Its key in the config, for messages."""
    return "calibration.null_tune" if side == "null" else f"pair.{side}"


def model_files(study: Config, side: Side) -> list[str]:
    """Local files that a model's source names: a GGUF file, or the files of a model folder; none for a hub id."""
    origin, where = source_of(study, side), key_of(side)
    named = [_existing(origin.chat_template, f"{where}.chat_template")] if origin.chat_template else []
    if origin.path is None or not local(origin.path):
        return named
    path = _existing(origin.path, f"{where}.path")
    if origin.gguf:
        path = _existing(str(Path(path, origin.gguf)), f"{where}.gguf")
    if Path(path).is_file():
        if not path.endswith(".gguf"):
            raise UserError(f"{where}.path: {path} is a file but no GGUF; give the model's folder")
        return [path, *named]
    files = sorted({str(file) for pattern in MODEL_FILES for file in Path(path).glob(pattern)})
    if not any(file.endswith(".safetensors") for file in files):
        raise UserError(f"{where}.path: there is no *.safetensors in {path}; save the model with save_pretrained first")
    return files + named


def gguf_file(study: Config, side: Side) -> str | None:
    """The local GGUF file a model is converted from, if it comes from one that needs no fetching."""
    return next((file for file in model_files(study, side) if file.endswith(".gguf")), None)


def made(study: Config, side: Side) -> bool:
    """Whether rules make this model's folder: from a package, from a GGUF file, or by planting."""
    origin = source_of(study, side)
    return origin.path is None or origin.gguf is not None or origin.path.endswith(".gguf")


def model(study: Config, side: Side) -> Model:
    """Where the steps find a model."""
    origin = source_of(study, side)
    if not made(study, side):
        return Model(str(origin.path), model_files(study, side), False)
    path = f"results/{study.pair.name}/" + (f"{NULL}/models/chat" if side == "null" else f"models/{side}")
    template = [origin.chat_template] if origin.chat_template else []
    return Model(path, [*(f"{path}/{file}" for file in MADE_MODEL), *template], True)


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


def _existing(path: str, key: str) -> str:
    if not Path(path).exists():
        raise UserError(f"{key}: there is no {path}; mend the path (it counts from {Path.cwd()})")
    return path
