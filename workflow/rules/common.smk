import os
import sys
from pathlib import Path

# This tree's own source, also when an editable install points to another tree.
sys.path.insert(0, str(Path(workflow.basedir, "src")))

from crossdiff.config import dump
from crossdiff.workflow import (
    CALLS,
    CRATE,
    DICTIONARY,
    IMPORTED,
    INTERPRETATION,
    LATENTS,
    LAYERS,
    PROMPTED,
    REPORT,
    SHARED,
    STEERED,
    SYNTHETIC,
    benchmarked,
    checked,
    corpus_files,
    environment,
    evidence_results,
    gguf_file,
    model,
    null_latents,
    published_files,
    results,
    sources,
)

environment()
study = checked(config)
study_json = dump(study)
models = {side: model(study, side) for side in ("base", "chat")}
planted = study.pair.chat.planted is not None
converted = [side for side in models if models[side].made and not (planted and side == "chat")]
behaviours = sources("crossdiff.truth.behaviours", "*.yaml", "behaviours/*.yaml")
behaves = study.pair.behaves
answers = ["results/{pair}/truth/answers.parquet"] if behaves else []
device = study.compute.device
process = os.getpid()
gpus = int(device.startswith("cuda"))


wildcard_constraints:
    pair=study.pair.name,
    side="base|chat",
    name="|".join(study.dictionaries),
    seed=r"\d+",
