"""The activations step as it is run: resume, outliers, statistics, and what it refuses."""

import json
import re

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from stored import shard_bytes

from crossdiff.activations import __main__ as step
from crossdiff.activations.disk import bytes_a_token
from crossdiff.activations.store import Activations
from crossdiff.errors import UserError
from crossdiff.provenance.files import sha256_file


def test_manifest_and_shards(run, rows_file, tmp_path, llama_pair):
    manifest = run(tmp_path, outlier_factor=None)
    rows = pl.read_parquet(rows_file)
    activations = Activations.open(tmp_path / "manifest.json", check=True)
    token = torch.cat([tensors["token"] for tensors in activations.tensors])
    assert token.tolist() == rows["ids"].explode().to_list()
    assert [shard["first_row"] for shard in manifest["shards"]] == [int(t["row"][0]) for t in activations.tensors]
    assert (manifest["L"], manifest["D"]) == (2, 32)
    assert manifest["thresholds"] is None
    assert manifest["layer"] == 1
    assert manifest["rows_sha256"] == sha256_file(rows_file)
    assert manifest["pair"]["chat"]["path"] == str(llama_pair.chat)
    for split in ("train", "validation"):
        told, view = manifest["splits"][split], activations.view(split)
        tokens = rows.filter(split=split)["ids"].list.len().sum()
        assert (told["tokens"], told["kept"], told["masked"], view.tokens) == (tokens, tokens, 0, tokens)
    x = activations.view("train").gather(torch.arange(activations.view("train").tokens)).double().numpy()
    np.testing.assert_allclose(manifest["mean"], x.mean(0), rtol=1e-5, atol=1e-6)
    scale = np.sqrt(32 / ((x - x.mean(0)) ** 2).sum(-1).mean())
    assert manifest["scale"] == pytest.approx(scale, rel=1e-5)
    assert set(manifest["difference_share"]["sources"]) == {"web", "chat"}
    results = json.loads((tmp_path / "run.json").read_text())["results"]
    assert results["pairs_per_second"] > 0
    assert results["shards"] == len(manifest["shards"])


def test_an_estimate_is_printed_before_extraction(run, tmp_path, capsys):
    run(tmp_path)
    told = capsys.readouterr().out
    assert "tokens in" in told
    for word in ("pairs/s", "GB in", "GB free", " s at "):
        assert word in told


class Killed(Exception):  # noqa: N818
    pass


def killed_at(number, monkeypatch):
    write = step.write_shard

    def failing(folder, shard, *rest):
        if shard == number:
            raise Killed
        return write(folder, shard, *rest)

    monkeypatch.setattr(step, "write_shard", failing)


def test_resumes_at_the_next_shard_with_the_same_bytes(run, tmp_path, monkeypatch):
    run(tmp_path / "whole")
    whole = shard_bytes(tmp_path / "whole")
    assert len(whole) > 3
    with monkeypatch.context() as patch:
        killed_at(2, patch)
        with pytest.raises(Killed):
            run(tmp_path / "cut")
    assert list(shard_bytes(tmp_path / "cut")) == list(whole)[:2]
    assert not (tmp_path / "cut" / "manifest.json").exists()
    assert not (tmp_path / "cut" / "run.json").exists()
    done = (tmp_path / "cut" / "shard-00001.safetensors").stat().st_mtime_ns
    manifest = run(tmp_path / "cut")
    assert shard_bytes(tmp_path / "cut") == whole
    assert (tmp_path / "cut" / "shard-00001.safetensors").stat().st_mtime_ns == done
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["results"]["reused_shards"] == 2
    assert manifest == json.loads((tmp_path / "whole" / "manifest.json").read_text())


def everything(folder):
    activations = Activations.open(folder / "manifest.json")
    view = activations.masked(None).view("train")
    return view.gather(torch.arange(view.tokens)), view


def test_eight_bits_hold_what_the_models_gave(run, tmp_path):
    plain, eight = run(tmp_path / "plain"), run(tmp_path / "eight", dtype="int8")
    assert (eight["dtype"], eight["thresholds"]) == ("int8", plain["thresholds"])  # norms are those of the streams
    assert eight["fingerprint"] != plain["fingerprint"]
    x, found = everything(tmp_path / "plain")[0], everything(tmp_path / "eight")[0]
    assert found.dtype == torch.float32
    for y, y_found in ((x[:, 0], found[:, 0]), (x[:, 1] - x[:, 0], found[:, 1] - found[:, 0])):
        assert (y - y_found).square().sum() < 2e-4 * (y - y.mean(0)).square().sum()
    tokens = sum(shard["tokens"] for shard in eight["shards"])
    stored = sum(shard["bytes"] for shard in eight["shards"])
    assert stored < tokens * bytes_a_token(2, 32, 1) + len(eight["shards"]) * (step.HEADER_BYTES + 16 * 32)


def test_eight_bits_resume_with_the_same_bytes(run, tmp_path, monkeypatch):
    run(tmp_path / "whole", dtype="int8")
    with monkeypatch.context() as patch:
        killed_at(2, patch)
        with pytest.raises(Killed):
            run(tmp_path / "cut", dtype="int8")
    run(tmp_path / "cut", dtype="int8")
    assert shard_bytes(tmp_path / "cut") == shard_bytes(tmp_path / "whole")


def test_a_stream_stores_held_out_rows_and_a_sample(run, rows_file, tmp_path):
    rows = pl.read_parquet(rows_file)
    manifest = run(tmp_path, store="stream", sample_tokens=300)
    activations = Activations.open(tmp_path / "manifest.json", check=True)
    train, validation = (activations.masked(None).view(split) for split in ("train", "validation"))
    assert 300 <= train.tokens < 364
    assert validation.tokens == rows.filter(split="validation")["ids"].list.len().sum()
    found = {(row, position): token for block in train.blocks(99) for row, position, token in zip(
        block.row_B.tolist(), block.position_B.tolist(), block.token_B.tolist(), strict=True)}  # fmt: skip
    assert all(rows["ids"][row][position] == token for (row, position), token in found.items())
    assert len({rows["source"][row] for row, _ in found}) == 2
    assert manifest["store"] == "stream"
    plain = run(tmp_path / "disk")
    assert manifest["scale"] == pytest.approx(plain["scale"], rel=0.2)


def test_shards_of_other_settings_are_never_reused(run, tmp_path, monkeypatch):
    killed_at(2, monkeypatch)
    with pytest.raises(Killed):
        run(tmp_path / "mixed")
    monkeypatch.undo()
    run(tmp_path / "mixed", layer=2)
    run(tmp_path / "fresh", layer=2)
    assert shard_bytes(tmp_path / "mixed") == shard_bytes(tmp_path / "fresh")


def test_a_shard_damaged_between_runs_is_made_again(run, tmp_path, monkeypatch):
    run(tmp_path)
    whole = shard_bytes(tmp_path)
    for damage in (lambda data: data[:-5], lambda data: data[:-1] + b"\x55"):
        (tmp_path / "shard-00001.safetensors").write_bytes(damage(whole["shard-00001.safetensors"]))
        run(tmp_path)
        assert shard_bytes(tmp_path) == whole


def test_another_outlier_factor_needs_no_models_and_fewer_shards_leave_none_behind(run, tmp_path, monkeypatch):
    run(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("crossdiff.pair.load.Pair.lower", None)
        run(tmp_path, outlier_factor=1.1)
    manifest = run(tmp_path, shard_tokens=1000)
    assert sorted(shard_bytes(tmp_path)) == [shard["file"] for shard in manifest["shards"]]
    assert len(list(tmp_path.glob("shard-*.json"))) == len(manifest["shards"])


def plant(folder, out, change):
    """A copy of a tiny model with ``change`` made to its embedding of token 7, 8 and so on."""
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    weights = load_file(out / "model.safetensors")
    change(weights["model.embed_tokens.weight"])
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return out


def planted_pair(llama_pair, tmp_path, change):
    described = json.loads(llama_pair.json.read_text())
    described["chat"]["path"] = str(plant(llama_pair.chat, tmp_path / "planted", change))
    (tmp_path / "pair.json").write_text(json.dumps(described))
    return tmp_path / "pair.json"


def test_high_norm_tokens_of_either_model_are_masked_and_named(run, rows_file, tokenizer, llama_pair, tmp_path):
    outlier = tokenizer("a", add_special_tokens=False)["input_ids"][0]

    def blow_up(embedding):
        embedding[outlier] *= 300

    manifest = run(tmp_path / "out", pair=planted_pair(llama_pair, tmp_path, blow_up))
    plain = run(tmp_path / "plain", pair=tmp_path / "pair.json", outlier_factor=None)
    rows = pl.read_parquet(rows_file)
    for split, told in manifest["splits"].items():
        wanted = (rows.filter(split=split)["ids"].explode() == outlier).sum()
        assert told["masked"] == wanted > 0
        assert told["kept"] == told["tokens"] - wanted
        assert {entry["token"] for entry in told["masked_tokens"]} == {outlier}
        assert {entry["text"] for entry in told["masked_tokens"]} == {"a"}
        assert sum(entry["count"] for entry in told["masked_tokens"]) == wanted
    assert manifest["scale"] > 3 * plain["scale"]  # they decide the plain statistics
    view = Activations.open(tmp_path / "out" / "manifest.json").view("train")
    assert not any((block.token_B == outlier).any() for block in view.blocks(100))


def test_values_that_are_not_finite_stop_the_step(run, rows_file, tokenizer, llama_pair, tmp_path):
    bad = tokenizer("P", add_special_tokens=False)["input_ids"][0]

    def spoil(embedding):
        embedding[bad] = float("nan")

    with pytest.raises(
        UserError, match=r"chat model gives values that are not finite .* on row \d+, position"
    ) as caught:
        run(tmp_path / "out", pair=planted_pair(llama_pair, tmp_path, spoil), check_rows=1)
    row = int(re.search(r"row (\d+)", str(caught.value))[1])
    assert bad in pl.read_parquet(rows_file)["ids"][row]
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_too_little_disk_is_told_before_models_are_loaded(run, tmp_path, monkeypatch):
    monkeypatch.setattr("crossdiff.activations.checks.shutil.disk_usage", lambda folder: type("", (), {"free": 10_000}))
    monkeypatch.setattr("crossdiff.pair.load.Pair.lower", None)
    with pytest.raises(UserError, match="GB are needed"):
        run(tmp_path)


def test_rows_out_of_order(run, rows_file, tmp_path):
    pl.read_parquet(rows_file).reverse().write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(UserError, match="not numbered 0, 1"):
        run(tmp_path / "out", rows=tmp_path / "rows.parquet")


def test_skipped_tokens_count_in_no_statistic(run, tmp_path):
    plain = run(tmp_path / "plain", outlier_factor=None)
    manifest = run(tmp_path / "skip", outlier_factor=1.5, skip_first=9)
    activations = Activations.open(tmp_path / "skip" / "manifest.json")
    late = activations.masked(None).view("train")
    blocks = list(late.blocks(10_000))
    assert min(int(block.position_B.min()) for block in blocks) == 9
    assert manifest["splits"]["train"]["tokens"] == late.tokens < plain["splits"]["train"]["tokens"]
    norms = torch.cat([block.x_BLD for block in blocks]).norm(dim=-1)
    assert manifest["thresholds"] == pytest.approx([1.5 * float(np.median(norm)) for norm in norms.T.numpy()], rel=1e-4)
    kept = torch.cat([block.x_BLD for block in activations.view("train").blocks(10_000)])
    torch.testing.assert_close(torch.tensor(manifest["mean"]), kept.mean(0), rtol=1e-4, atol=1e-5)
