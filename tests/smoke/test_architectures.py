"""The whole DAG, from two folders to a report, on each architecture.

Here Qwen2 and Gemma 2 with one seed of a crosscoder and of a diff-SAE, Gemma 3 with one of a crosscoder. Llama's runs
in the other files of this folder, always with both: two seeds, a planted twin, a null tune and synthetic pairs in
conftest's study, two folders in test_new_pair.
"""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml
from tiny import FAMILIES, padded

from crossdiff.overlay import merged

from .conftest import ROOT, copied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SMALL = {"latents": 48, "steps": 15, "threshold_start": 5}
CHANGES = {
    "pair": {"name": "tiny", "chat": {"path": "data/chat", "planted": None}},
    "activations": {"skip_first": 2},
    "dictionaries": {"crosscoder": SMALL, "diff-sae": SMALL},
    "seeds": [0],
    "synthetic": None,  # knows nothing of the architecture
    "calibration": {"null_tune": None},  # reads a pair as any is read
    "evidence": {"conversations": 3},
}
"""To the miniature study."""
DIFF_SAE = ("qwen2", "gemma2")
"""Families with one too; it takes a study some 25 s of computing."""
VARIANTS = {
    "qwen2": {"score": "decoupled"},
    "gemma2": {"score": "mixed"},
    "gemma3_text": {"loss": "squared", "hybrid": -0.5},
}
"""Variants of the crosscoder that nothing else takes through all steps."""
JUDGE = {"explainer": {"path": "data/chat"}, "latents": 4, "examples": 1, "texts": 1, "text_tokens": 8, "new_tokens": 4}
SWITCHES = {
    "qwen2": {
        "layer_sweep": "all",
        "interventions": ["whole", "halves", "additive", "thresholds", "bias"],
        "candidate_latents": 20,
    },
    "gemma2": {"steering": {"latents": 1, "scales": [1.0], "prompts": ["Who are you?"]}, "new_tokens": 3},
    "gemma3_text": {
        "prompts": {"path": "data/chat.jsonl", "column": "messages", "new_tokens": 12},
        "interpretation": JUDGE,
    },
}
"""Experiments that the default study leaves out, and what each leaves."""
LEFT = {
    "qwen2": ["evidence/layers/kl.parquet"],
    "gemma2": [f"evidence/steering-{name}-seed0/steering.parquet" for name in ("crosscoder", "diff-sae")],
    "gemma3_text": ["evidence/prompts/rows.parquet", "evidence/interpretation/crosscoder-seed0.parquet"],
}


@pytest.mark.parametrize("tiny_pair", [name for name in FAMILIES if name != "llama"], indirect=True)
def test_from_two_folders_to_a_report(tiny_pair, tmp_path: Path, tools: Path, web_parquet, chat_jsonl) -> None:
    tree = copied(tmp_path / "study", tools)
    study = merged(yaml.safe_load((ROOT / "tests/smoke/config.yaml").read_text()), CHANGES)
    study["dictionaries"]["crosscoder"] |= VARIANTS[tiny_pair.family]
    if tiny_pair.family not in DIFF_SAE:
        del study["dictionaries"]["diff-sae"]
    study["evidence"] |= SWITCHES[tiny_pair.family]
    (tree.root / "config.yaml").write_text(yaml.safe_dump(study))
    for which in ("base", "chat"):
        padded(getattr(tiny_pair, which), tree.root / "data" / which)
    for file in (web_parquet, chat_jsonl):
        shutil.copyfile(file, tree.root / "data" / file.name)
    tree.run("snakemake")
    done = tree.root / "results/tiny"
    assert (done / "report/report.html").is_file()
    numbers = json.loads((done / "metrics.json").read_text())
    assert set(numbers["dictionaries"]) == set(study["dictionaries"])
    assert json.loads((done / "activations/manifest.json").read_text())["skip_first"] == 2
    for name in study["dictionaries"]:
        kl = pl.read_parquet(done / f"evidence/{name}-seed0/kl.parquet")
        assert kl["kl"].is_finite().all()
        assert pl.read_parquet(done / f"latents/{name}-seed0.parquet").height == 48
        assert pl.read_parquet(done / f"latents/{name}-seed0.template.parquet").height
    if tiny_pair.family in DIFF_SAE:
        assert {"full", "error", "bias"} <= set(numbers["dictionaries"]["diff-sae"]["kl"]["all"])
    for file in LEFT[tiny_pair.family]:
        assert pl.read_parquet(done / file).height
    if tiny_pair.family == "qwen2":
        assert {"none", "chat-to-base"} <= set(numbers["pair"]["kl_by_layer"]["all"])
        assert {"best-nu-additive", "minus-bias"} <= set(numbers["dictionaries"]["crosscoder"]["kl"]["all"])
    if tiny_pair.family == "gemma3_text":
        assert set(kl["source"]) == {"prompts"}
        assert numbers["dictionaries"]["crosscoder"]["interpretation"]["latents"] > 0
