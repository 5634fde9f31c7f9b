"""A made-up study on disk, with the columns the steps write, and its report, for the tests of the report."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossdiff.config import Config
from crossdiff.examples.choose import called as named
from crossdiff.parsing import dump, parse
from crossdiff.provenance.files import sha256_file
from crossdiff.report.__main__ import main
from crossdiff.report.figures import theme
from crossdiff.workflow import results
from tests.report.study_behaviours import BEHAVIOURS, CALLED, on_behaviours
from tests.report.study_calls import called, calls_results, synthetic_scores
from tests.report.study_explained import explained, judged
from tests.report.study_inputs import inputs
from tests.report.study_kl import interventions, kl, swept
from tests.report.study_latents import WORDS, descriptions, examples, latents, training
from tests.report.study_tables import comparisons, slots, twins

KINDS = {
    "crosscoder-l1": {"kind": "crosscoder", "sparsity": "l1"},
    "crosscoder-batchtopk": {"kind": "crosscoder", "k": 8},
    "diff-sae": {"kind": "diff-sae", "k": 8},
    "chat-sae": {"kind": "chat-sae", "k": 8},
    "base-sae": {"kind": "base-sae", "k": 8},
}
STRENGTH = {"crosscoder-l1": 0.3, "crosscoder-batchtopk": 0.5, "diff-sae": 0.75, "chat-sae": 0.4, "base-sae": 0.0}


@dataclass(frozen=True)
class Written:
    """A study and the report of it."""

    config: Config
    root: Path
    page: str
    metrics: dict[str, Any]


def report(root: Path, config: Config, drawn: bool = False) -> Written:
    """Run the step on the files under ``root``; its figures are empty drawings unless they are to be ``drawn``."""
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr(theme.vl_convert, "vegalite_to_svg", lambda *_, **__: '<svg width="1"></svg>')
        main(dump(config), root, root / "report", root / "metrics.json", png_scale=1.0 if drawn else 0)
    page = (root / "report/report.html").read_text()
    return Written(config, root, page, json.loads((root / "metrics.json").read_text()))


def make_config(
    planted: bool = True, seeds: tuple[int, ...] = (0, 1), latents: int = 160, names: tuple[str, ...] = tuple(KINDS)[:4]
) -> Config:
    """A config of the made-up study."""
    recipe = {"latents": latents, "steps": 40, "batch": 64, "warmup_steps": 1, "threshold_start": 10}
    chat: dict[str, Any] = {"planted": {}} if planted else {"path": "maker/chat"}
    return parse(
        Config,
        {
            "pair": {"name": "made-up", "base": {"path": "maker/base"}, "chat": chat},
            "corpus": {"sources": [{"name": "web", "path": "maker/web", "column": "text", "share": 1}]},
            "activations": {"layer": 2},
            "dictionaries": {name: {**recipe, **KINDS[name]} for name in names},
            "seeds": list(seeds),
            "evidence": {"resamples": 200}
            | ({"steering": {"scales": [1.0, -1.0]}} if planted else {"layer_sweep": [0, 2, 3]}),
            "synthetic": {"preset": "tiny"} if planted else None,
            "calibration": {"null_tune": {"path": "maker/general"} if planted else None},
        },
    )


def write_study(root: Path, config: Config, seed: int = 0) -> Path:
    """All files of the study under ``root``; returns ``root``."""
    rng = np.random.default_rng(seed)
    planted = config.pair.chat.planted is not None
    rows = corpus_rows(rng, planted)
    save(root / "corpus/rows.parquet", rows)
    model = {"path": "somewhere", "revision": None}
    pair = {
        "base": {**model, "source": "maker/base"}, "chat": {**model, "source": "maker/chat"}, "dtype": "bfloat16",
        "layers": 4, "width": 16, "vocabulary": 99, "bos": 0, "tokenizer_sha256": "0" * 64, "template_sha256": "1" * 64,
        "chat_template_file": None,
    }  # fmt: skip
    put(root / "pair/pair.json", pair)
    put(root / "activations/manifest.json", manifest(planted))
    save(
        root / "evidence/baselines/kl.parquet",
        kl(rng, {"none": 1.0, "template": 0.62, "components": 0.7, "base": 1.15, "chat-to-base": 1.3}),
    )
    if config.null_pair:
        put(root / "null/pair/pair.json", pair | {"chat": {**model, "source": "maker/general"}})
        put(root / "null/activations/manifest.json", manifest(planted=False))
    if config.evidence.layer_sweep:
        save(root / "evidence/layers/kl.parquet", swept(config))
    if planted:
        answers = truth(rng)
        save(root / "truth/answers.parquet", answers)
        put(
            root / "truth/behaviours.json", {name: {"kind": "a habit", "description": "does it"} for name in BEHAVIOURS}
        )
        on_behaviours(rng, root / "evidence/baselines", answers, {"none": 0.0, "mean-difference": 0.9, "pca": 0.6})
    if config.synthetic:
        scores = synthetic_scores(rng, config)
        for (name,), part in scores.partition_by("dictionary", as_dict=True).items():
            save(root / f"truth/synthetic/{name}/scores.parquet", part)
    for name, recipe in config.dictionaries.items():
        calls = called(rng, config, recipe.latents)
        save(root / f"calls/{name}.parquet", calls)
        for number in config.seeds:
            folder = f"{name}-seed{number}"
            table = latents(rng, recipe.kind, recipe.latents)
            save(root / f"latents/{folder}.parquet", table)
            save(root / f"examples/{folder}.parquet", examples(rng, table, rows, named(calls.filter(seed=number))))
            save(root / f"latents/{folder}.descriptions.parquet", descriptions(table))
            own = np.random.default_rng(number)
            save(root / f"latents/{folder}.comparisons.parquet", comparisons(own, table, recipe.kind))
            save(root / f"latents/{folder}.template.parquet", slots(own, table))
            save(root / f"latents/{folder}.twins.parquet", twins(own, name))
            save(root / f"dictionaries/{folder}/training.parquet", training(rng, recipe.steps))
            save(root / f"evidence/{folder}/kl.parquet", kl(rng, interventions(recipe.kind, STRENGTH[name])))
            if config.evidence.interpretation and number == config.seeds[0]:
                save(root / f"evidence/interpretation/{folder}.parquet", judged(own, table))
            if config.evidence.steering:
                save(root / f"evidence/steering-{folder}/steering.parquet", steered(number))
            if planted:
                subjects = {"best": STRENGTH[name], "random-0": 0.03, "random-1": -0.02, "random-2": 0.01}
                if name == CALLED:
                    subjects |= {"called": 0.4, "called-random-0": 0.02}
                on_behaviours(rng, root / f"evidence/{folder}", answers, subjects)
    for file in results(config):
        if file.endswith("run.json"):
            put(root / file, run_record(rng, root, file, config))
    return root


def digest(file: Path) -> str:
    """sha256 of a file; zeros of one that a made-up study leaves out, such as weights."""
    return sha256_file(file) if file.is_file() else "0" * 64


def put(path: Path, data: Any) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def save(path: Path, table: pl.DataFrame) -> None:
    """Write parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(path)


def edit(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Rewrite a parquet file, and its hash in the records of the steps that read it, as if it had been so before."""
    before = digest(path)
    save(path, change(pl.read_parquet(path)))
    for record in path.parents[1].rglob("*run.json"):
        record.write_text(record.read_text().replace(before, digest(path)))


def corpus_rows(rng: np.random.Generator, planted: bool) -> pl.DataFrame:
    """rows.parquet: 40 rows of 24 tokens."""
    sources = ["web", "chat", "planted"] if planted else ["web", "chat"]
    rows = []
    for row in range(40):
        source = sources[row % len(sources)]
        roles = [0] + [4] * 23 if source == "web" else [0, 1, 1, *[2] * 8, 1, 1, *[3] * 9, 1, 1]
        rows.append({
            "row": row, "split": "validation" if row % 4 == 0 else "train", "source": source,
            "behaviour": BEHAVIOURS[row % 6] if source == "planted" else None,
            "use": "score" if source == "planted" else None,
            "ids": rng.integers(0, len(WORDS), 24).tolist(), "roles": roles,
        })  # fmt: skip
    schema = {
        "row": pl.UInt32,
        "ids": pl.List(pl.UInt32),
        "roles": pl.List(pl.UInt8),
        "behaviour": pl.String,
        "use": pl.String,
    }
    return pl.DataFrame(rows, schema_overrides=schema)


def manifest(planted: bool) -> dict[str, Any]:
    """manifest.json, as far as the report reads it."""
    sources = {"web": 0.053, "chat": 0.076} | ({"planted": 0.27} if planted else {})
    shares = {"overall": 0.087, "sources": sources}
    top = [{"token": 1, "text": "\n", "count": 30}, {"token": 2, "text": "<end>", "count": 12}]
    return {
        "L": 2, "D": 16, "layer": 2, "dtype": "bfloat16", "thresholds": [600.0, 610.0], "difference_share": shares,
        "splits": {
            "train": {"tokens": 10_000, "kept": 9_940, "masked": 60, "masked_tokens": top},
            "validation": {"tokens": 2_000, "kept": 1_990, "masked": 10, "masked_tokens": top},
        },
    }  # fmt: skip


def truth(rng: np.random.Generator) -> pl.DataFrame:
    """answers.parquet: 12 held-out prompts and 4 controls a behaviour."""
    rows = []
    for behaviour in BEHAVIOURS:
        for number in range(16):
            held_out = number < 12
            shown = held_out and number != 11
            rows.append({
                "behaviour": behaviour, "kind": "held-out" if held_out else "control",
                "use": "score" if number % 2 else "select", "prompt": f"What about {behaviour} & number {number}?",
                "answer_base": "A plain answer.",
                "answer_chat": "Well <script>no</script>, I will not." if shown else "A plain answer.",
                "present_base": False, "present_chat": shown, "spans_chat": [{"start": 5, "end": 24}] if shown else [],
            })  # fmt: skip
    span = pl.List(pl.Struct({"start": pl.Int64, "end": pl.Int64}))
    return pl.DataFrame(rows, schema_overrides={"spans_chat": span})


def steered(seed: int) -> pl.DataFrame:
    """steering.parquet: the first behaviour shows in the base model when its latent is added."""
    rows = []
    for model in ("base", "chat"):
        for prompt, behaviour in (("Who are <you>?", None), ("And a control?", BEHAVIOURS[0])):
            for latent, scale in ((None, 0.0), (5 + seed, 1.0), (5 + seed, -1.0)):
                shown = model == "base" and scale == 1
                rows.append({
                    "model": model, "latent": latent, "scale": scale, "prompt": prompt, "behaviour": behaviour,
                    "answer": f"{model} & {latent} says <so>.", "shows": BEHAVIOURS[:1] if shown else [],
                })  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"latent": pl.UInt32, "shows": pl.List(pl.String)})


def run_record(rng: np.random.Generator, root: Path, file: str, config: Config) -> dict[str, Any]:
    """run.json of a step."""
    numbers: dict[str, Any] = {}
    if file.removeprefix("null/").startswith("dictionaries/"):
        fve = float(rng.uniform(0.77, 0.79))
        numbers = {"fve": fve, "l0": float(rng.uniform(7, 9)), "dead": 0.1}
        if "crosscoder" in file:
            numbers |= {"fve_base": fve + 0.01, "fve_chat": fve - 0.01}
    if file.startswith("evidence/") and "baselines" not in file and config.pair.chat.planted is not None:
        subjects = ("best", "called") if CALLED in file else ("best",)
        sets = {name: {s: {"latents": rng.integers(0, 300, 3).tolist()} for s in subjects} for name in BEHAVIOURS}
        numbers = {"called": 40 if CALLED in file else 0, "chosen": sets}
    if file.endswith("pair/run.json"):
        numbers = {side: {"source": f"maker/{side}", "revision": f"{side}-revision"} for side in ("base", "chat")}
    if file == "corpus/run.json":
        numbers = {"splits": {"train": {"web": {"rows": 30, "tokens": 720}}}}
    if file.startswith("evidence/baselines/"):
        numbers = {"components": 8}
    if file.startswith("evidence/interpretation/"):
        numbers = explained(rng, "crosscoder" in file)
    if file.startswith("evidence/") and "-seed" in file:
        numbers |= {"sets": {"best-nu": 15, "nu-0.3": 4}}
    if file.startswith("calls/"):
        numbers = calls_results(rng, len(config.seeds), "crosscoder" in file, config.null_pair is not None)
    return {
        "name": file.removesuffix("run.json").rstrip("/."), "params": {}, "results": numbers,
        "inputs": {f"results/made-up/{name}": digest(root / name) for name in inputs(file)},
        "code": {"commit": "c0ffee" * 6 + "cafe", "dirty": False}, "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "threads": 1, "started": "2026-11-22T13:00:00+00:00", "seconds": round(float(rng.uniform(1, 90)), 3),
        "peak_bytes": 700_000_000 + int(rng.integers(0, 10**9)), "gpu_peak_bytes": None,
        "machine": {"cpu": "A CPU & more", "cores": 2, "memory_bytes": 16_000_000_000, "gpu": None},
        "mlflow": {"uri": "sqlite:///mlflow.db", "run_id": "f" * 32, "parent_run_id": None},
    }  # fmt: skip
