"""A small finished study in a git checkout: results, records, report, DVC's and Snakemake's files, MLflow, RO-Crate."""

import base64
import hashlib
import json
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from crossdiff.config import Config
from crossdiff.provenance import record as records
from crossdiff.provenance.crate import crate
from crossdiff.provenance.files import sha256_file
from crossdiff.provenance.origins import record_of
from crossdiff.workflow import CRATE, REPORT, results
from tests.report.study_files import make_config, put, report, write_study
from tests.report.study_inputs import inputs

PAIR = "results/made-up"
TRACKED = "dictionaries/chat-sae-seed0/run.json"
SOURCE = "src/crossdiff/report/metrics.py"
MODEL = "data/base/model.safetensors"
"""The base model, in a local folder outside the results."""
ROOT = Path(__file__).parents[3]


def build(base: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the study in ``base``."""
    config = make_config(latents=60, names=("crosscoder-l1", "chat-sae"))
    patch.chdir(base)
    (base / SOURCE).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / SOURCE, base / SOURCE)
    (base / "Snakefile").write_text("rule all:\n")
    (base / MODEL).parent.mkdir(parents=True)
    save_file({"embedding": np.arange(64, dtype="float32")}, base / MODEL)
    (base / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    commit = committed(base)
    patch.setattr(records, "code", lambda: {"commit": commit, "dirty": False})
    root = write_study(base / PAIR, config)
    weights(root, config)
    for name in (name for name in results(config) if name.endswith("run.json")):
        recorded(base, name, config, patch)
    report(root, config)
    metadata(base, config)
    put(root / CRATE, crate(config, root, base / "Snakefile"))
    lock(base)


def committed(base: Path) -> str:
    """Commit everything; the commit's id."""
    git = ["git", "-C", str(base), "-c", "user.name=made", "-c", "user.email=made@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "as it is"]):
        subprocess.run([*git, *command], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def weights(root: Path, config: Config) -> None:
    """Of the pair and of the null tune: what the manifests and the dictionaries say of their weights."""
    weights_of(root, root, config, config.seeds)
    weights_of(root / "null", root, config, config.calibration.null_seeds)
    for name in config.dictionaries:
        save_file({"nu": np.arange(4.0)}, root / f"null/latents/{name}-seed0.parquet")  # bytes that calls have read


def weights_of(folder: Path, root: Path, config: Config, seeds: list[int]) -> None:
    """A shard, what the manifest says of it, and the dictionaries' weights and descriptions."""
    manifest = json.loads((folder / "activations/manifest.json").read_text())
    shard = folder / "activations/shard-00000.safetensors"
    shard.write_bytes(bytes(range(256)) * 40)
    listed = {"file": shard.name, "bytes": shard.stat().st_size, "sha256": sha256_file(shard)}
    rows = sha256_file(root / "corpus/rows.parquet")
    put(folder / "activations/manifest.json", manifest | {"shards": [listed], "rows_sha256": rows})
    for name, seed in product(config.dictionaries, seeds):
        recipe = config.dictionaries[name]
        decoder = np.random.default_rng(seed).normal(size=(recipe.models, recipe.latents, 4)).astype("float32")
        save_file({"decoder": decoder}, folder / f"dictionaries/{name}-seed{seed}/dictionary.safetensors")
        source = {"manifest_sha256": sha256_file(folder / "activations/manifest.json")}
        put(folder / f"dictionaries/{name}-seed{seed}/dictionary.json", {"about": {"activations": source}})


def recorded(base: Path, name: str, config: Config, patch: pytest.MonkeyPatch) -> None:
    """Write a step's run.json by a real record, with the made-up numbers; one of them into MLflow too."""
    path = base / PAIR / name
    numbers = json.loads(path.read_text())["results"]
    params: dict[str, Any] = {}
    step = name.split("/")[0]
    if step == "dictionaries":
        dictionary, _, seed = name.split("/")[1].rpartition("-seed")
        params = {"recipe": config.dictionaries[dictionary], "seed": int(seed)}
    elif step == "activations":
        params = config.activations.model_dump(mode="json")
    elif step == "evidence":
        params = config.evidence.experiments.model_dump(mode="json")
    if name == TRACKED:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{base}/mlflow.db")
    given = [Path(PAIR, file) for file in inputs(name)] + ([Path(MODEL)] if name == "pair/run.json" else [])
    with records.record(name.removesuffix("run.json").rstrip("/."), Path(PAIR, name), params, given) as run:
        if name == TRACKED:
            run.log({"fve": 0.5}, step=20)
        run.result(**numbers)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)


def metadata(base: Path, config: Config) -> None:
    """Snakemake's record of each output: the inputs it hashed, the report's source among them."""
    for output in (*results(config), *REPORT):
        step = record_of(output)
        read = [f"{PAIR}/{file}" for file in (results(config) if step == "report/run.json" else inputs(step))]
        read = [path for path in read if (base / path).is_file()] + ([SOURCE] if step == "report/run.json" else [])
        told = {"rule": "made", "shellcmd": f"make {output}", "input": read}
        told["input_checksums"] = {path: f"sha256:{sha256_file(base / path)}" for path in read}
        put(base / kept_at(output), told)


def kept_at(output: str) -> Path:
    """The file of Snakemake's record of an output: its path in base64, cut where it grows too long for a name."""
    name = base64.urlsafe_b64encode(f"{PAIR}/{output}".encode()).decode()
    parts = [name[i : i + 200] for i in range(0, len(name), 200)]
    return Path(".snakemake/metadata").joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


def lock(base: Path) -> None:
    """dvc.lock and the folder objects in DVC's cache."""
    outs = []
    for path in [*sorted((base / PAIR).iterdir()), base / ".snakemake/metadata"]:
        name = path.relative_to(base).as_posix()
        if path.is_file():
            outs.append({"path": name, "hash": "md5", "md5": hashlib.md5(path.read_bytes()).hexdigest()})
            continue
        files = sorted(file for file in path.rglob("*") if file.is_file())
        listed = [
            {"md5": hashlib.md5(file.read_bytes()).hexdigest(), "relpath": file.relative_to(path).as_posix()}
            for file in files
        ]
        content = json.dumps(listed, sort_keys=True).encode()
        digest = hashlib.md5(content).hexdigest() + ".dir"
        place = base / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        outs.append({"path": name, "hash": "md5", "md5": digest})
    stages = {"schema": "2.0", "stages": {"study": {"outs": outs}}}
    (base / "dvc.lock").write_text(yaml.safe_dump(stages, sort_keys=False))


def flip(path: Path, *marks: bytes, digit: bool = True) -> None:
    """Flip the lowest bit of one byte: the middle one, or the first digit (or byte) behind ``marks`` in their order."""
    content = bytearray(path.read_bytes())
    at = 0 if marks else len(content) // 2
    for mark in marks:
        at = content.index(mark, at) + len(mark)
    while marks and digit and not chr(content[at]).isdigit():
        at += 1
    content[at] ^= 1
    path.write_bytes(bytes(content))
