"""`python -m crossdiff.dictionaries.published` on stored activations, and where its files come from."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from foreign import Foreign, finetuning_crosscoder, finetuning_sae, kissane
from foreign_saes import sparsify
from huggingface_hub import errors
from test_dictionaries_command import store

from crossdiff.activations.store import Activations
from crossdiff.dictionaries import Dictionary, load
from crossdiff.dictionaries.published import fetch
from crossdiff.dictionaries.published.__main__ import main
from crossdiff.dictionaries.published.settings import Published
from crossdiff.errors import UserError

COMMIT = "c" * 40


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return store(tmp_path / "activations")


def go(manifest: Path, out: Path, **entry: Any) -> Dictionary:
    main(settings_=json.dumps(entry), name="theirs", activations=manifest, out=out)
    return load(out)


def results(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())["results"]


def held_out(manifest: Path) -> torch.Tensor:
    view = Activations.open(manifest).view("validation")
    return view.gather(torch.arange(view.tokens)).float()


def test_takes_a_crosscoder_and_measures_it(manifest: Path, tmp_path: Path) -> None:
    made = finetuning_crosscoder(20, 33, 0, normalised=True)
    files, out = made.write(tmp_path / "theirs"), tmp_path / "out"
    dictionary = go(manifest, out, **{"from": str(files), "kind": "crosscoder"})
    assert sorted(path.name for path in out.iterdir()) == ["dictionary.json", "dictionary.safetensors", "run.json"]
    x = held_out(manifest)
    f, _ = made.encode(x.double().numpy())
    rebuilt = torch.from_numpy(made.decode(f))
    found = results(out)
    fve = 1 - float((x - rebuilt).square().sum() / (x - x.mean(0)).square().sum())
    assert found["fve"] == pytest.approx(fve, rel=1e-4)
    assert found["l0"] == pytest.approx((f > 0).sum() / len(f), abs=0.02)
    assert found["tokens"]["validation"] == len(x)
    assert found["imported"]["class"] == "BatchTopKCrossCoder"
    assert (dictionary.about["name"], dictionary.about["layer"], dictionary.about["seed"]) == ("theirs", 3, 0)
    inputs = json.loads((out / "run.json").read_text())["inputs"]
    assert {Path(file).name for file in inputs} == {"manifest.json", "model.safetensors", "config.json"}


def test_a_base_minus_chat_sae_is_turned(manifest: Path, tmp_path: Path) -> None:
    made = finetuning_sae(20, 17, 0)
    files = made.write(tmp_path / "theirs")
    turned = go(manifest, tmp_path / "a", **{"from": str(files), "kind": "diff-sae", "difference": "base - chat"})
    x = held_out(manifest)
    f, _ = made.encode((x[:, :1] - x[:, 1:]).double().numpy())
    ours = turned.decode(torch.from_numpy(f))
    torch.testing.assert_close(ours.double(), -torch.from_numpy(made.decode(f)), rtol=1e-4, atol=1e-4)
    assert float((turned.encode(turned.read(x)) - torch.from_numpy(f)).abs().max()) < 1e-2


def test_scales_that_files_do_not_keep_are_given_or_fitted(manifest: Path, tmp_path: Path) -> None:
    made = kissane(20, 17, 0)
    files = made.write(tmp_path / "theirs")
    entry = {"from": str(files), "kind": "crosscoder", "format": "ckkissane"}
    with pytest.raises(UserError, match=r"dictionaries\.theirs\.scales: files of ckkissane do not keep"):
        go(manifest, tmp_path / "a", **entry)
    given = go(manifest, tmp_path / "a", **entry, scales=[0.3, 0.2])
    x = held_out(manifest)
    f, margin = made.encode(x.double().numpy())
    clear = margin > 1e-3
    torch.testing.assert_close(given.encode(x).double()[clear], torch.from_numpy(f[clear]), rtol=1e-4, atol=1e-4)
    fitted = go(manifest, tmp_path / "b", **entry, scales="fit")
    view = Activations.open(manifest).view("train")
    norm = view.gather(torch.arange(view.tokens)).double().norm(dim=2).mean(0)
    torch.testing.assert_close(fitted.scale.flatten().double(), 20**0.5 / norm, rtol=1e-5, atol=0)
    assert results(tmp_path / "b")["imported"]["scales"] == fitted.scale.flatten().tolist()


def test_a_topk_sae_of_the_right_block(manifest: Path, tmp_path: Path) -> None:
    made = sparsify(20, 17, 0)
    dictionary = go(manifest, tmp_path / "a", **{"from": str(made.write(tmp_path / "layers.3")), "kind": "chat-sae"})
    assert dictionary.k == 2
    assert results(tmp_path / "a")["l0"] <= 2
    with pytest.raises(UserError, match=r"dictionaries\.theirs\.from: .* after block 5, but activations\.layer is 3"):
        go(manifest, tmp_path / "b", **{"from": str(made.write(tmp_path / "layers.5")), "kind": "chat-sae"})
    assert not (tmp_path / "b/run.json").exists()


def test_another_width_is_told_with_both_widths(manifest: Path, tmp_path: Path) -> None:
    files = finetuning_crosscoder(19, 33, 0).write(tmp_path / "theirs")
    with pytest.raises(UserError, match="the dictionary has width 19, but the models have width 20"):
        go(manifest, tmp_path / "out", **{"from": str(files), "kind": "crosscoder"})
    assert not (tmp_path / "out").exists()


def hub(cache: Path, made: Foreign, folder: str) -> None:
    """A repository as the hub's cache keeps it."""
    made.write(cache / "models--org--theirs/snapshots" / COMMIT / folder)
    (cache / "models--org--theirs/refs").mkdir()
    (cache / "models--org--theirs/refs/main").write_text(COMMIT)


def command(cache: Path, manifest: Path, out: Path, **entry: Any) -> subprocess.CompletedProcess[str]:
    run = [
        sys.executable,
        "-m",
        "crossdiff.dictionaries.published",
        "--settings",
        json.dumps(entry),
        "--name",
        "theirs",
    ]
    run += ["--activations", str(manifest), "--out", str(out)]
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(run, env=environment, capture_output=True, text=True, check=False)


def test_a_cached_repository_is_taken_offline_and_another_is_told(manifest: Path, tmp_path: Path) -> None:
    hub(tmp_path / "cache", finetuning_crosscoder(20, 33, 0), "layer_3/small")
    entry = {"from": "org/theirs", "kind": "crosscoder", "subfolder": "layer_3/small"}
    done = command(tmp_path / "cache", manifest, tmp_path / "out", **entry)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "out")["imported"]
    assert (found["from"], found["commit"], found["file"]) == ("org/theirs", COMMIT, "model.safetensors")
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert [Path(file).name for file in record["inputs"]] == ["manifest.json"]

    failed = command(tmp_path / "cache", manifest, tmp_path / "gone", **entry | {"from": "org/other"})
    assert failed.returncode == 2
    assert "dictionaries.theirs.from: org/other is not in the local cache and the hub cannot" in failed.stderr
    assert "Traceback" not in failed.stderr
    failed = command(tmp_path / "cache", manifest, tmp_path / "gone", **entry | {"subfolder": "layer_4"})
    assert "org/theirs/layer_4/ holds no weight file of a known format" in failed.stderr


def answer(kind: type[errors.HfHubHTTPError]) -> Exception:
    return kind("no", response=MagicMock())  # of whatever HTTP library the hub's client uses


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            answer(errors.GatedRepoError),
            r"d\.x\.from: org/x is gated: accept its terms at https://huggingface\.co/org/x",
        ),
        (answer(errors.RepositoryNotFoundError), r"d\.x\.from: the hub has no org/x for you: mend the id, or log in"),
        (answer(errors.RevisionNotFoundError), r"d\.x\.revision: org/x has no revision v1"),
        (answer(errors.HfHubHTTPError), r"d\.x\.from: the hub did not give org/x: no"),
        (errors.LocalEntryNotFoundError("no"), r"d\.x\.from: org/x is not in the local cache"),
        (errors.HFValidationError("no"), r"d\.x\.from: org/x is neither a path that exists nor a hub id"),
    ],
)
def test_what_the_hub_says_is_told_in_plain_words(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(fetch, "snapshot_download", refuse)
    with pytest.raises(UserError, match=message):
        fetch.fetch(Published(**{"from": "org/x", "revision": "v1", "kind": "crosscoder"}), "d.x")


def test_only_settings_and_weights_are_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def download(origin: str, **keywords: Any) -> str:
        asked.update(keywords, origin=origin)
        return str(tmp_path / COMMIT)

    monkeypatch.setattr(fetch, "snapshot_download", download)
    settings = Published(**{"from": "org/x", "revision": "v1", "kind": "crosscoder", "subfolder": "a/b/"})
    fetched = fetch.fetch(settings, "d.x")
    assert (asked["origin"], asked["revision"]) == ("org/x", "v1")
    assert {"a/b/model.safetensors", "a/b/config.json", "a/b/ae.pt", "a/b/cfg.json"} <= set(asked["allow_patterns"])
    assert not [pattern for pattern in asked["allow_patterns"] if "checkpoint" in pattern or "*" in pattern]
    assert (fetched.path, fetched.commit, fetched.told) == (tmp_path / COMMIT / "a/b", COMMIT, "org/x@v1/a/b/")
