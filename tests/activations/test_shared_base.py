"""The base model's streams, taken from another pair with the same base in place of being read again."""

import json

import pytest
import torch
from stored import shard_bytes

from crossdiff.activations import __main__ as step
from crossdiff.activations.store import Activations
from crossdiff.errors import UserError


def test_the_bases_streams_are_taken_from_another_pair_with_the_same_base(run, tmp_path, llama_pair, monkeypatch):
    run(tmp_path / "one")
    told = json.loads(llama_pair.json.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps(told | {"chat": told["base"]}))
    read = run(tmp_path / "read", other)
    models = []
    monkeypatch.setattr(step, "extract", spied(step.extract, models))
    taken = run(tmp_path / "taken", other, base=tmp_path / "one/manifest.json")
    assert shard_bytes(tmp_path / "taken") == shard_bytes(tmp_path / "read")
    assert taken["mean"] == read["mean"]
    assert len(models) == len(taken["shards"])
    for shard in Activations.open(tmp_path / "taken/manifest.json").tensors:
        assert torch.equal(shard["x"][:, 0], shard["x"][:, 1]), "both are the same model here"
    assert str(tmp_path / "one/manifest.json") in json.loads((tmp_path / "taken/run.json").read_text())["inputs"]


def spied(extract, seen):
    """``extract`` with a base model that fails when it is run."""

    def run(models, *rest):
        seen.append(models)
        return extract([BaseNotRun(models[0].config), models[1]], *rest)

    return run


class BaseNotRun:
    """What a base model is asked for, short of being run."""

    def __init__(self, config):
        self.config = config


@pytest.mark.parametrize("changed", [{"layer": 2}, {"outlier_factor": 9.0}, {"shard_tokens": 500}])
def test_streams_of_other_settings_are_not_taken(run, tmp_path, changed):
    run(tmp_path / "one")
    with pytest.raises(UserError, match="read from another base, other rows or other settings"):
        run(tmp_path / "two", base=tmp_path / "one/manifest.json", **changed)


def test_eight_bit_streams_are_read_again(run, tmp_path):
    run(tmp_path / "one", dtype="int8")
    run(tmp_path / "two", dtype="int8", base=tmp_path / "one/manifest.json")
    assert shard_bytes(tmp_path / "one") == shard_bytes(tmp_path / "two")
