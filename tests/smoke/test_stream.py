"""The rules of a study whose training tokens are not stored, in 8 bits where they are, up to its latents."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from .conftest import ROOT, copied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
OVERLAY = {
    "pair": {"name": "streamed", "chat": {"path": "data/chat", "planted": None}},
    "activations": {"store": "stream", "dtype": "int8", "sample_tokens": 1000, "buffer_tokens": 900},
}


def test_rules(tmp_path: Path, tools: Path, llama_pair, web_parquet: Path, chat_jsonl: Path) -> None:
    tree = copied(tmp_path / "study", tools)
    shutil.copyfile(ROOT / "tests/smoke/config.yaml", tree.root / "config.yaml")
    shutil.copytree(llama_pair.base, tree.root / "data/base")
    shutil.copytree(llama_pair.chat, tree.root / "data/chat")
    for file in (web_parquet, chat_jsonl):
        shutil.copyfile(file, tree.root / "data" / file.name)
    (tree.root / "overlay.yaml").write_text(json.dumps(OVERLAY))
    runs = [f"{name}-seed{seed}" for name in ("crosscoder", "diff-sae") for seed in (0, 1)]
    # All four are trained by one job; two are enough to show that the next rule takes what it left.
    latents = [f"results/streamed/latents/{run}.parquet" for run in (runs[0], runs[-1])]
    tree.run("snakemake", "--configfile", "config.yaml", "overlay.yaml", "--", *latents)
    assert [pl.read_parquet(tree.root / file).height for file in latents] == [96, 96]
    for run in runs:
        record = json.loads((tree.root / f"results/streamed/dictionaries/{run}/run.json").read_text())
        assert record["results"]["tokens"]["presented"] == 40 * 256
        assert record["mlflow"]["run_id"]
    assert "Nothing to be done" in tree.run(
        "snakemake", "--dry-run", "--configfile", "config.yaml", "overlay.yaml", "--", *latents
    )
