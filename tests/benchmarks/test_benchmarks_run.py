"""Each benchmark on a tiny case."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import (
    attribution,
    extraction,
    harness,
    planted,
    precision,
    products,
    sampling,
    screening,
    study,
    subjects,
    training,
)
from benchmarks.published import PublishedTrainer
from benchmarks.subjects import Case
from crossdiff.activations.extract import batch_plan, padded, read_tokens
from crossdiff.dictionaries import screen
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.recipe import Recipe

TRAINING = ["--latents", "48", "--width", "16", "-k", "3", "--batch", "64", "--rounds", "2", "--steps", "1"]
OWN = ["crossdiff", "crossdiff eager", "published", "encoder product", "bare product"]


def ratios(rows: list[harness.Row], subject: str) -> dict[str, Any]:
    return {row.against: row.ratio for row in rows if row.subject == subject and row.against}


def test_training_compares_with_all(tmp_path: Path) -> None:
    file = tmp_path / "training.json"
    rows = training.main([*TRAINING, "--no-memory", "--only", *OWN, "--json", str(file)])
    assert {row.case.split()[0] for row in rows} == {"crosscoder", "diff-SAE"}
    assert set(ratios(rows, "crossdiff")) == {"crossdiff eager", "published", "encoder product"}
    assert all(isinstance(row.value, float) and row.value > 0 for row in rows)
    assert len(json.loads(file.read_text())["rows"]) == len(rows)


def test_precision_trains_each_form_and_repeats() -> None:
    sizes = ["--latents", "64", "--width", "16", "--k", "4", "--batch", "64", "--batches", "10", "--steps", "150"]
    rows = precision.main([*sizes, "--rounds", "1"])
    fve = {(row.subject, row.metric): row.value for row in rows if row.metric.startswith("FVE")}
    assert len(fve) == len(precision.VARIANTS)
    assert all(isinstance(value, float) and value > 0.05 for value in fve.values())
    assert fve["fp32", "FVE, seed 0"] != fve["bf16", "FVE, seed 0"]
    assert (rows[-1].subject, rows[-1].value) == ("repeated", 0.0)


@pytest.mark.skipif(not screen.here(), reason="this machine does not screen")
def test_screening_counts_what_is_chosen_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "SAMPLE", 2048)
    width, latents, tokens = 40, 320, 64
    draw = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(1, latents, width, generator=draw), dim=2)
    dictionary = Dictionary(
        kind="chat-sae", score="none", encoder=decoder.transpose(1, 2).contiguous(), encoder_bias=torch.zeros(latents),
        decoder=decoder, decoder_bias=torch.zeros(1, width), threshold=torch.zeros(()), mean=torch.zeros(1, width),
        scale=torch.ones(1), about={},
    )  # fmt: skip
    recipe = Recipe(kind="chat-sae", latents=latents, k=4, steps=2000)
    x_BLD = torch.randn(tokens, 2, width, generator=draw)
    assert all(0 <= missed <= tokens * recipe.k // 50 for missed in screening.differences(dictionary, recipe, x_BLD))
    batch_topk = screen.batch_topk

    def beside(*given: Any) -> Any:
        kept = batch_topk(*given)
        return kept and kept._replace(flat_N=kept.flat_N + 1)

    monkeypatch.setattr(screen, "batch_topk", beside)
    screened, product = screening.differences(dictionary, recipe, x_BLD)
    assert screened > tokens * recipe.k // 50
    assert product <= tokens * recipe.k // 50


def test_training_measures_memory_of_a_subject_alone() -> None:
    case = Case(models=2, width=64, latents=4096, k=4, batch=256)
    row = training.memory(case, "published", threads=1)
    weights = 2 * 2 * 64 * 4096 * 4 / 1e9  # GB
    assert row.unit == "GB", row.value
    assert isinstance(row.value, float)
    assert row.value > 4 * weights  # and gradients and two moments


def test_subjects_that_do_not_fit_are_measured_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(models=2, width=64, latents=4096, k=4, batch=256)
    room = sum(training.needed_gb(case, name) for name in ("crossdiff", "encoder product", "bare product", "published"))
    monkeypatch.setattr(training, "room_gb", lambda device: room)
    groups = training.groups(case, OWN)
    assert len(groups) == 2
    assert all({"crossdiff", "encoder product", "bare product"} <= set(group) for group in groups)
    monkeypatch.setattr(training, "room_gb", lambda device: 0.0)
    names, rows = training.taking_part(case, OWN)
    assert not names
    assert all("GB" in str(row.value) for row in rows)


def test_the_published_work_learns_and_keeps_k() -> None:
    batches = planted.batches(4, 128, 2, 16)
    trainer = PublishedTrainer(2, 16, 48, 4, 3e-3, "cpu", 0)
    losses = [trainer.step(batches[step % 4]) for step in range(60)]
    assert losses[-1] < 0.8 * losses[0]
    assert int((trainer.encode(batches[0]) > 0).sum()) == 4 * 128


def test_ours_is_a_training_step() -> None:
    batches = planted.batches(2, 64, 2, 16)
    case = Case(2, 16, 48, 3, 64, lr=1e-3)
    state, recipe = subjects.start(case, batches[0])
    before = state.parameters.decoder_FI.clone()
    training.OWN["crossdiff"](case, batches[0])(batches)
    subjects.train._advance(state, batches[0].flatten(1), recipe)
    assert state.step == 1
    assert not torch.equal(before, state.parameters.decoder_FI)


def test_extraction_reads_what_the_bare_forward_gives() -> None:
    models = extraction.random_pair(3, 64, 97, seed=0)
    rows = extraction.random_rows(5, 12, 97, seed=1)
    for batch in batch_plan(rows.lengths_R, range(5), 24):
        ids_BT, mask_BT = padded(rows, batch)
        lower = extraction.truncated(models[0], 1)
        with torch.inference_mode():
            bare_BTD = lower(input_ids=ids_BT, use_cache=False).last_hidden_state
        torch.testing.assert_close(read_tokens(models[0], 1, ids_BT, mask_BT), bare_BTD[mask_BT], rtol=0.05, atol=0.05)
    assert len(models[0].model.layers) == 3


def test_extraction_runs() -> None:
    sizes = ["--layers", "3", "--width", "64", "--vocabulary", "97", "--layer", "1", "--rows", "5", "--context", "12"]
    rows = extraction.main([*sizes, "--batch-tokens", "24", "--rounds", "1", "--threads", "1"])
    assert "bare forward" in ratios(rows, "crossdiff")
    assert {row.subject for row in rows} >= {"crossdiff stored", "nnsight"}


def test_sampling_runs() -> None:
    sizes = ["--tokens", "1024", "--shards", "2", "--width", "8", "--batch", "64", "--batches", "3"]
    rows = sampling.main([*sizes, "--rounds", "1"])
    assert set(ratios(rows, "crossdiff")) == {"per-token data set", "one copy"}


def test_the_per_token_data_set_gives_stored_tokens(tmp_path: Path) -> None:
    activations = sampling.made(tmp_path, shards=2, tokens=600, width=4, seed=0)
    tokens = sampling.Tokens(activations)
    assert len(tokens) == 600
    assert torch.equal(tokens[299], activations.tensors[0]["x"][299])
    assert torch.equal(tokens[300], activations.tensors[1]["x"][0])


def test_attribution_runs_with_about_k_active() -> None:
    sizes = ["--tokens", "512", "--latents", "48", "--width", "16", "-k", "4", "--batch", "128", "--blocks", "2"]
    rows = attribution.main([*sizes, "--rounds", "1"])
    assert set(ratios(rows, "crossdiff")) == {"plain encode fp32", "plain encode bf16"}
    x_BLD = torch.cat(planted.batches(1, 256, 2, 16))
    crosscoder = attribution.dictionary(48, 16, 4, x_BLD, seed=0)
    assert len(crosscoder.codes(x_BLD).value_N) == pytest.approx(4 * 256, rel=0.05)


def test_products_are_ours_and_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "SHAPES", {"small": (8, 16, 4)})
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    rows = products.main(["--rounds", "2"])
    assert set(ratios(rows, "crossdiff")) == {"torch bf16", "torch fp32"}
    assert {row.unit for row in rows} == {"GFLOP/s"}
    with pytest.raises(SystemExit, match="of CPUs"):
        products.main(["--device", "cuda"])


def test_study_tabulates_stages(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "made"
    for name, seconds, peak in (
        ("benchmarks/activations", 5, "100"),
        ("benchmarks/dictionaries/a-seed0", 2, "50"),
        ("benchmarks/dictionaries/a-seed1", 3, "-"),
        ("benchmarks/plant", 7, "80"),
        ("null/benchmarks/plant", 8, "80"),
        ("null/benchmarks/activations", 4, "90"),
        ("null/benchmarks/dictionaries/a-seed0", 2, "50"),
    ):
        file = folder / f"{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:05\t{peak}\tNA\n")
    rows = {(row.subject, row.metric): row for row in study.main([str(folder)])}
    assert next(iter(rows))[0] == "plant"
    assert (rows["plant", "jobs"].value, rows["plant", "wall, summed"].value) == (2, 15)
    assert rows["dictionaries", "jobs"].value == 2
    assert rows["dictionaries", "wall, summed"].value == 5
    assert rows["dictionaries", "wall, summed"].high == 3
    assert rows["dictionaries", "peak memory"].value == pytest.approx(50 * 2**20 / 1e9)
    assert (rows["null", "jobs"].value, rows["null", "wall, summed"].value) == (2, 6)
    assert rows["all stages", "wall, summed"].value == 31
    with pytest.raises(SystemExit, match=r"no benchmarks/"):
        study.read(tmp_path)
