"""Steering by a latent's direction against a hooked model, and the step that writes the answers."""

import json
from dataclasses import replace

import polars as pl
import pytest
import torch
from made import make_dictionary

from crossdiff.dictionaries import save
from crossdiff.errors import UserError
from crossdiff.evidence.settings import Evidence, Steering
from crossdiff.evidence.steering.__main__ import called_first, questions
from crossdiff.evidence.steering.__main__ import main as steer
from crossdiff.evidence.steering.pushes import Push, constant, directions, pushes, steered
from crossdiff.evidence.streams import Site
from crossdiff.pair.blocks import patched, read_site
from crossdiff.parsing import dump

LAYER = 1
PROMPTS = [[0, 41, 52, 63, 12], [0, 11, 12, 13, 14, 15, 16, 17, 18]]


@pytest.fixture
def site(tiny_pair):
    return Site(tiny_pair.model("base"), tiny_pair.model("chat"), LAYER, None)


def test_every_prompt_is_asked_plainly_and_under_every_latent_and_scale():
    assert pushes(2, [7, 3], [1.0, -2.0])[:5] == [
        Push(0, None, 0.0), Push(0, 7, 1.0), Push(0, 7, -2.0), Push(0, 3, 1.0), Push(0, 3, -2.0),
    ]  # fmt: skip
    assert [push.prompt for push in pushes(2, [7, 3], [1.0, -2.0])] == [0] * 5 + [1] * 5


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_directions_are_chats_at_the_largest_activation(kind):
    dictionary = make_dictionary(kind)
    largest_F = torch.arange(1.0, 12.0)
    found = directions(dictionary, largest_F, [4, 9])
    raw = dictionary.directions()[-1]
    for row, latent in zip(found, (4, 9), strict=True):
        assert float(row.norm()) == pytest.approx(float(largest_F[latent]) / 0.7, rel=1e-5)
        assert float(torch.cosine_similarity(row, raw[latent], dim=0)) == pytest.approx(1, abs=1e-5)
    # Without a normaliser it is the study's formula, and with one it is the same vector of the raw activations.
    plain = replace(dictionary, decoder=raw[None] if kind == "diff-sae" else dictionary.directions(),
                    scale=torch.tensor(1.0))  # fmt: skip
    torch.testing.assert_close(directions(plain, largest_F / 0.7, [4, 9]), found)


@pytest.mark.parametrize("running", ["base", "chat"])
@pytest.mark.parametrize("skip", [0, 2])
def test_a_steered_answer_is_that_of_a_hooked_model(site, running, skip):
    """The vector is added at every position past the skipped start, of the prompt and of the answer."""
    site = replace(site, skip_first=skip)
    vector = 30 * torch.randn(32, generator=torch.Generator().manual_seed(2))
    wanted = [Push(0, None, 0.0), Push(0, 5, 1.0), Push(1, 5, -1.0)]
    found = steered(site, running, PROMPTS, wanted, {5: vector}, 6, set())
    assert found[0] != found[1]
    model = site.model(running)
    for push, tokens in zip(wanted, found, strict=True):
        ids = list(PROMPTS[push.prompt])
        for token in tokens:
            stream = read_site(model, LAYER, torch.tensor([ids])).clone()
            stream[:, skip:] += push.scale * vector
            with patched(model, LAYER, lambda h, stream=stream: stream), torch.no_grad():
                assert int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()) == token
            ids.append(token)


def test_tokens_of_high_norm_are_not_steered(site):
    x_RTLD = torch.ones(1, 3, 2, 32)
    x_RTLD[0, 1, 0] *= 100
    edit = constant(replace(site, thresholds=[10.0, 10.0]), torch.ones(1, 32))
    added = edit(x_RTLD, torch.tensor([0]), torch.ones(1, 3, dtype=torch.bool))
    assert added[0, :, 0].tolist() == [1.0, 0.0, 1.0]


def planted_answers():
    """Two controls and a held-out prompt of one behaviour."""
    kinds = ("held-out", "control", "control")
    return pl.DataFrame({"behaviour": ["own-name"] * 3, "kind": kinds, "prompt": ["Name?", "A name?", "No name?"]})


def test_controls_of_the_behaviours_are_asked_too():
    steering = Steering(prompts=["Hello?"], controls=1)
    assert questions(steering, None) == [("Hello?", None)]
    assert questions(steering, planted_answers()) == [("Hello?", None), ("A name?", "own-name")]
    assert len(questions(Steering(prompts=[], controls=5), planted_answers())) == 2


def test_the_step_writes_every_answer(llama_pair, tmp_path):
    save(make_dictionary("diff-sae", width=32, latents=8), tmp_path / "dictionary")
    nu = [0.5, 0.1, -0.05, 0.9, 0.2, None, 0.0, 0.3]
    pl.DataFrame({
        "latent": range(8), "dead": [False] * 6 + [True, False], "nu_activation": nu,
        "nu_valid": [value is not None for value in nu], "max": [2.0] * 8,
    }).write_parquet(tmp_path / "some-seed3.parquet")  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps({"layer": LAYER, "thresholds": None}))
    planted_answers().write_parquet(tmp_path / "answers.parquet")
    pl.DataFrame({
        "seed": [3, 3, 4], "latent": [7, 1, 0], "call": ["chat-specific", "shared", "chat-specific"],
    }).write_parquet(tmp_path / "calls.parquet")  # fmt: skip
    settings = Evidence(new_tokens=3, steering=Steering(latents=2, scales=[4.0], prompts=["Hello?"]))
    given = {
        "pair": llama_pair.json, "dictionary": tmp_path / "dictionary", "latents": tmp_path / "some-seed3.parquet",
        "activations": tmp_path / "manifest.json", "answers": tmp_path / "answers.parquet", "threads": 1,
    }  # fmt: skip
    steer(dump(settings), out=tmp_path / "out", **given)
    table = pl.read_parquet(tmp_path / "out/steering.parquet")
    assert len(table) == 2 * 2 * (1 + 2)
    assert table["latent"].unique(maintain_order=True).to_list() == [None, 2, 1]
    assert table.filter(pl.col("latent").is_null())["scale"].unique().to_list() == [0.0]
    assert table["behaviour"].unique(maintain_order=True).to_list() == [None, "own-name"]
    assert json.loads((tmp_path / "out/run.json").read_text())["results"] == {"latents": [2, 1], "answers": 12}
    steer(dump(settings), out=tmp_path / "called", calls=tmp_path / "calls.parquet", **given)
    assert json.loads((tmp_path / "called/run.json").read_text())["results"]["latents"] == [7, 2]
    with pytest.raises(UserError, match="say what to steer with"):
        steer(dump(Evidence()), out=tmp_path / "none", **given)


def test_called_latents_come_first():
    assert called_first([9, 4, 2], [1, 2, 3, 4]) == [2, 4, 9, 1, 3]
    assert called_first([], [3, 1]) == [3, 1]


def test_scales_are_told_apart():
    for scales in ([0.0], [1.0, 1.0]):
        with pytest.raises(ValueError, match="each once, and not 0"):
            Steering(scales=scales)
