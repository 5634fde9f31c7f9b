"""What rests on a broken file is found through every step, those that call latents and choose examples among them."""

from crossdiff.provenance.audit.configured import expected
from crossdiff.provenance.audit.taint import spread

STEPS = {
    "dictionaries/a-seed1/run.json": ["activations/manifest.json"],
    "latents/a-seed1.run.json": ["dictionaries/a-seed1/dictionary.json"],
    "null/latents/a-seed0.run.json": ["null/dictionaries/a-seed0/dictionary.json"],
    "calls/a.run.json": ["latents/a-seed1.parquet", "null/latents/a-seed0.parquet"],
    "evidence/a-seed0/run.json": ["calls/a.parquet", "src/x.py"],
    "examples/a-seed0.run.json": ["calls/a.parquet"],
    "evidence/baselines/run.json": ["corpus/rows.parquet", "/elsewhere/model.safetensors"],
}


def test_a_latent_table_taints_what_reads_the_calls_made_of_it() -> None:
    for file in ("latents/a-seed1.parquet", "null/latents/a-seed0.parquet"):
        _, steps = spread([file], [], STEPS)
        assert steps == {"calls/a.run.json", "evidence/a-seed0/run.json", "examples/a-seed0.run.json"}


def test_a_step_taints_all_that_was_made_after_it() -> None:
    _, steps = spread([], ["dictionaries/a-seed1/run.json"], STEPS)
    assert steps == {*STEPS} - {"null/latents/a-seed0.run.json", "evidence/baselines/run.json"}


def test_files_from_elsewhere_taint_their_readers_alone() -> None:
    assert spread(["src/x.py"], [], STEPS)[1] == {"evidence/a-seed0/run.json"}
    assert spread(["/elsewhere/model.safetensors"], [], STEPS)[1] == {"evidence/baselines/run.json"}


def test_settings_are_those_of_the_section_on_the_null_tune_too() -> None:
    config = {
        "corpus": {"context": 8}, "activations": {"layer": 1}, "attribution": {"blocks": 20}, "calibration": {"q": 0.1},
        "dictionaries": {"a": {"k": 3}}, "evidence": {"seed": 0},
    }  # fmt: skip
    for place, section in (
        ("corpus/run.json", "corpus"),
        ("null/activations/run.json", "activations"),
        ("null/latents/a-seed0.run.json", "attribution"),
        ("calls/a.run.json", "calibration"),
    ):
        assert list(expected(place, config)) == [("", config[section])]
    assert dict(expected("null/dictionaries/a-seed0/run.json", config)) == {"recipe": {"k": 3}, "seed": 0}
    assert list(expected("pair/run.json", config)) == []
