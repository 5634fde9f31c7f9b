"""The cost model: units, scaling, what it reads from a config, and that it needs no torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import costs as beside
from benchmarks.study import Job
from crossdiff.amounts import duration
from crossdiff.config import Config
from crossdiff.costs import estimate
from crossdiff.costs.machine import calibrate
from crossdiff.costs.seconds import EIGHT, GEMM, STARTUP, STREAM, attribution_seconds, evidence_seconds, step_seconds
from crossdiff.costs.sizes import Machine, Model, Stage, Work
from crossdiff.costs.stages import stages
from crossdiff.dictionaries import screen
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.overlay import merged
from crossdiff.parsing import parse

ROOT = Path(__file__).parents[2]
MACHINE = Machine(bf16=4e11, fp32=1.5e11, bandwidth=3e10, threads=2)
ENDLESS = 1e30
CROSSCODER = Recipe(kind="crosscoder", latents=4608, k=32)
WORK = Work(
    Model(30, 576, 49_152, 1.35e8), layer=14, train_tokens=400_000, validation_tokens=80_000, context=256,
    dictionaries=[CROSSCODER, Recipe(kind="diff-sae", latents=4608, k=32)], seeds=2, attribution_tokens=80_000,
    behaviours=7, planted_tokens=70_000, models_made=2,
)  # fmt: skip
CHAT = {"path": "org/chat", "planted": None}


def study(**parts: Any) -> Config:
    return parse(Config, merged(yaml.safe_load((ROOT / "config.yaml").read_text()), parts))


def named(work: Work, machine: Machine = MACHINE) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages(work, machine)}


def test_without_bytes_a_step_is_its_product() -> None:
    machine = replace(MACHINE, bandwidth=ENDLESS)
    flops = 2 * 2048 * 2 * 576 * 4608
    assert step_seconds(CROSSCODER, 576, machine) == pytest.approx(flops / (GEMM * 4e11))
    assert step_seconds(replace(CROSSCODER, latents=9216), 576, machine) == pytest.approx(2 * flops / (GEMM * 4e11))
    assert step_seconds(replace(CROSSCODER, path="eager"), 576, machine) == pytest.approx(5 * flops / (GEMM * 1.5e11))
    screening = replace(machine, eight=True)
    assert step_seconds(CROSSCODER, 576, screening) == pytest.approx(EIGHT * flops / (GEMM * 4e11))
    dense = replace(CROSSCODER, k=CROSSCODER.latents // 8)
    assert step_seconds(dense, 576, screening) == step_seconds(dense, 576, machine)


def test_a_part_of_a_machine_screens_as_the_whole_does() -> None:
    part = replace(MACHINE, eight=True).part(1)
    assert part == replace(
        MACHINE, bf16=MACHINE.bf16 / 2, fp32=MACHINE.fp32 / 2, bandwidth=MACHINE.bandwidth / 2, threads=1, eight=True
    )


@pytest.mark.parametrize("there", [True, False])
def test_a_measured_machine_tells_whether_it_screens(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "here", lambda: there)
    found = calibrate(threads=1, seconds=0.01)
    assert (found.eight, found.threads, found.gpu) == (there, 1, False)
    assert min(found.bf16, found.fp32, found.bandwidth) > 1e6


def test_without_arithmetic_more_active_latents_cost_more_bytes() -> None:
    machine = replace(MACHINE, bf16=ENDLESS, fp32=ENDLESS)
    few, many = (step_seconds(replace(CROSSCODER, k=k), 576, machine) for k in (32, 64))
    assert many - few == pytest.approx(16 * 2048 * 32 * 1152 / (STREAM * 3e10), rel=1e-6)


@pytest.mark.parametrize(
    "change", [{"latents": 9216}, {"k": 64}, {"batch": 4096}, {"kind": "crosscoder", "path": "eager"}]
)
def test_a_larger_step_takes_longer(change: dict[str, Any]) -> None:
    assert step_seconds(replace(CROSSCODER, **change), 576, MACHINE) > step_seconds(CROSSCODER, 576, MACHINE)


def test_a_diff_sae_is_about_half_a_crosscoder() -> None:
    sae = Recipe(kind="diff-sae", latents=4608, k=32)
    assert 0.45 < step_seconds(sae, 576, MACHINE) / step_seconds(CROSSCODER, 576, MACHINE) < 0.65


def test_twice_the_machine_takes_half_as_long() -> None:
    twice = Machine(8e11, 3e11, 6e10, 2)
    for work in (lambda m: step_seconds(CROSSCODER, 576, m), lambda m: attribution_seconds(CROSSCODER, 576, 1000, m)):
        assert work(MACHINE) == pytest.approx(2 * work(twice))


def test_more_texts_and_a_larger_vocabulary_take_longer() -> None:
    some, more = (named(replace(WORK, example_latents=count))["examples"] for count in (100, 200))
    assert len(some.seconds) == 4
    assert more.seconds[0] - STARTUP == pytest.approx(2 * (some.seconds[0] - STARTUP))
    wide = replace(WORK, model=replace(WORK.model, vocabulary=2 * WORK.model.vocabulary))
    longer = named(wide)["attribution"].seconds[0] - named(WORK)["attribution"].seconds[0]
    assert longer == pytest.approx(2 * 2 * 4608 * 576 * 49_152 / (GEMM * MACHINE.part(1).fp32))


def test_stages_scale_with_tokens_steps_and_seeds() -> None:
    once, more = named(WORK), named(replace(WORK, train_tokens=800_000, validation_tokens=160_000))
    assert more["activations"].disk == 2 * once["activations"].disk == 2 * 480_000 * (2 * 576 * 2 + 21)
    assert more["activations"].seconds[0] - STARTUP == pytest.approx(2 * (once["activations"].seconds[0] - STARTUP))
    assert len(named(replace(WORK, seeds=3))["dictionaries"].seconds) == 6
    assert len(once["evidence"].seconds) == 5
    assert list(once)[:3] == ["models, corpus", "plant", "truth"]
    assert "plant" not in named(replace(WORK, behaviours=0))


def test_both_tunes_are_made_side_by_side() -> None:
    alone, both = (named(replace(WORK, null_seeds=1, null_tokens=tokens)) for tokens in (0, 60_000))
    assert len(both["plant"].seconds) == 2
    assert both["plant"].wall == alone["plant"].wall > both["plant"].seconds[1]
    assert both["null"].seconds == alone["null"].seconds
    one_core = named(replace(WORK, null_seeds=1, null_tokens=60_000), replace(MACHINE, threads=1))
    assert one_core["plant"].wall == pytest.approx(sum(one_core["plant"].seconds))


def test_jobs_share_the_machine() -> None:
    training = named(WORK)["dictionaries"]
    assert training.beside == 2
    assert training.wall == pytest.approx(sum(training.seconds) / 2)
    gpu = named(WORK, replace(MACHINE, gpu=True))["dictionaries"]
    assert gpu.beside == 1
    assert gpu.wall == pytest.approx(sum(gpu.seconds))
    assert MACHINE.part(1).bf16 == 2e11


def test_evidence_grows_with_conversations() -> None:
    assert evidence_seconds(replace(WORK, conversations=96), 7, MACHINE) > evidence_seconds(WORK, 7, MACHINE)


def test_sizes_come_from_the_config_of_a_local_model(tmp_path: Path) -> None:
    facts = {
        "num_hidden_layers": 30, "hidden_size": 576, "vocab_size": 49_152, "num_attention_heads": 9,
        "num_key_value_heads": 3, "intermediate_size": 1536,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(facts))
    (tmp_path / "model.safetensors").touch()
    local = {"path": str(tmp_path), "package": None}
    chosen = study(pair={"base": local, "chat": CHAT})
    sizes = estimate.work(chosen)
    assert sizes is not None
    assert sizes.model.parameters == pytest.approx(134.5e6, rel=0.01)
    assert sizes.model.blocks(15) == pytest.approx((134.5e6 - 49_152 * 576) / 2, rel=0.01)
    assert (sizes.layer, sizes.tokens, sizes.seeds, sizes.behaviours) == (14, 480_000, 3, 0)
    assert estimate.known(chosen)


@pytest.mark.parametrize(
    ("path", "parameters", "width"),
    [
        ("google/gemma-2-2b", 2e9, 2304),
        ("org/SmolLM2-135M-Instruct", 135e6, 576),
        ("meta-llama/Llama-3.2-1B", 1e9, 2048),
    ],
)
def test_sizes_are_guessed_from_a_name(path: str, parameters: float, width: int) -> None:
    hub = {"path": path, "package": None}
    shape = estimate.model_shape(study(pair={"base": hub, "chat": CHAT}))
    assert shape is not None
    assert shape.parameters == parameters
    assert shape.width == pytest.approx(width, rel=0.4)


def test_a_name_without_a_size_gives_no_estimate() -> None:
    hub = {"path": "org/gpt", "package": None}
    assert estimate.work(study(pair={"base": hub, "chat": CHAT})) is None


def test_the_estimate_is_told_by_stage() -> None:
    told = estimate.lines(stages(WORK, MACHINE), MACHINE)
    assert len(told) == 1 + len(stages(WORK, MACHINE)) + 1
    assert "GB" in told[-1]
    assert " ? " in estimate.lines(stages(WORK, MACHINE), None)[-1].replace("?", " ? ")


def test_words() -> None:
    words = [duration(seconds) for seconds in (5, 600, 7200 * 2, 86400 * 5)]
    assert words == ["5 s", "10 min", "4.0 h", "5.0 d"]
    assert [estimate.size(count) for count in (5, 1500, 2.5e9, 9e14)] == ["5 B", "1.5 kB", "2.5 GB", "900 TB"]


def test_calibration_gives_rates() -> None:
    machine = calibrate(threads=1, seconds=0.01)
    assert machine.threads == 1
    assert min(machine.bf16, machine.fp32, machine.bandwidth) > 1e8


def test_the_model_stands_beside_the_measurements() -> None:
    jobs = [Job("activations", "activations", 100.0, None, 2e9), Job("corpus", "corpus", 5.0, None, None)]
    rows = {(row.subject, row.metric): row for row in beside.rows("made", stages(WORK, MACHINE), jobs, MACHINE)}
    predicted = rows["activations", "seconds, summed: predicted"]
    assert predicted.ratio == pytest.approx(float(predicted.value or 0) / 100)
    assert ("activations", "peak memory: predicted") in rows
    assert ("models, corpus", "peak memory: predicted") not in rows


def test_the_arithmetic_needs_no_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; import crossdiff.costs.stages"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_switches_of_the_evidence_add_their_jobs() -> None:
    plain = named(WORK)["evidence"]
    swept = named(replace(WORK, swept=(0, 14, 29)))["evidence"]
    more = named(replace(WORK, swept=tuple(range(30)), prompt_tokens=128, steered_answers=70))["evidence"]
    assert len(swept.seconds) == len(plain.seconds) + 1
    assert len(more.seconds) == len(plain.seconds) + 1 + 1 + 2 * 2
    assert sum(more.seconds) > sum(swept.seconds) > sum(plain.seconds)
    asked = estimate.work(study(evidence={"steering": {}, "layer_sweep": "all"}), WORK.model)
    assert asked is not None
    assert asked.swept == tuple(range(30))
    assert asked.steered_answers == (3 + asked.behaviours) * 2 * (1 + 3 * 2)
