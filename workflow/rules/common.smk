import os
import sys
from pathlib import Path

# This tree's own source, also when an editable install points to another tree.
sys.path.insert(0, str(Path(workflow.basedir, "src")))

from crossdiff.parsing import dump
from crossdiff.provenance.origins import NULL
from crossdiff.sources import sources
from crossdiff.workflow import (
    CALLS,
    CRATE,
    DICTIONARY,
    EXAMPLES,
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
    local_files,
    environment,
    evidence_results,
    gguf_file,
    key_of,
    model,
    null_latents,
    published_files,
    results,
    sides,
)

environment()
study = checked(config, ["config.yaml", *workflow.overwrite_configfiles])
study_json = dump(study)
models = {side: model(study, side) for side in sides(study)}
planted = study.pair.chat.planted is not None
converted = [side for side in ("base", "chat") if models[side].made and not (planted and side == "chat")]
behaviours = sources("crossdiff.truth.behaviours", "*.yaml", "behaviours/*.yaml")
behaves = study.pair.behaves
answers = ["results/{pair}/truth/answers.parquet"] if behaves else []
device = study.compute.device
process = os.getpid()
gpus = int(device.startswith("cuda"))
# The pair, and where calls are calibrated on a null tune the pair of the base and that: everything up to the latents is
# made of both, by the same rules, the second under results/<pair>/null.
null = f"{study.pair.name}/{NULL}"
pairs = {study.pair.name: study.pair, **({null: study.null_pair} if study.null_pair else {})}
tuned = {study.pair.name: "chat", null: "null"}
rows = f"results/{study.pair.name}/corpus/rows.parquet"


wildcard_constraints:
    pair=study.pair.name,
    side="base|chat",
    name="|".join(study.dictionaries),
    seed=r"\d+",
