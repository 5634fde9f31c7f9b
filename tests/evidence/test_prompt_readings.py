"""What is read off a prompt before its answer, against plain definitions; baselines as edits; edits elsewhere."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from made import make_dictionary

from crossdiff.errors import UserError
from crossdiff.evidence.behaviours import directions
from crossdiff.evidence.behaviours.collateral import collateral
from crossdiff.evidence.behaviours.detect import table
from crossdiff.evidence.behaviours.selection import Case, material
from crossdiff.evidence.edits import Directions, Latents
from crossdiff.evidence.kl.divergence import Conversation, predictions
from crossdiff.evidence.latents import called, check_seed
from crossdiff.evidence.prepare import questions
from crossdiff.evidence.readings import LAST, Prompt, Reading, ends, of_directions, of_kl, of_latents
from crossdiff.evidence.streams import Site

LAYER = 1
IDS = [[0, 20, 21, 22, 23], [0, 30, 31], [0, 40, 41, 42, 43, 44, 45]]


@pytest.fixture
def site(llama_pair):
    return Site(llama_pair.model("base"), llama_pair.model("chat"), LAYER, None)


@pytest.fixture
def seen(site):
    cases = [Case("one", 0, [0, 7, 8, 9, 10, 11], 3, [4], []), Case("one", 1, [0, 17, 18, 19, 20], 2, [3, 4], [])]
    return {"one": material(site, cases)}


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae", "chat-sae"])
def test_codes_are_those_of_the_last_positions_with_and_without_the_chat_model(site, kind):
    dictionary = make_dictionary(kind, width=32, latents=40)
    x_NPLD = ends(site.streams(IDS))
    reading = of_latents(site, dictionary, x_NPLD)
    for number in range(len(IDS)):
        x = x_NPLD[number]
        both, base = dictionary.encode(dictionary.read(x)), dictionary.encode(dictionary.read(x[:, [0, 0]]))
        torch.testing.assert_close(reading.pair_NC[number], both.mean(0))
        torch.testing.assert_close(reading.base_NC[number], base.mean(0))
    torch.testing.assert_close(reading.added_NC, reading.pair_NC - reading.base_NC)


def test_masked_positions_read_nothing(site):
    dictionary = make_dictionary("chat-sae", width=32, latents=40)
    x_NPLD = ends(site.streams(IDS))
    limits = [1e9, float(x_NPLD[0, :, 1].norm(dim=-1).median())]
    masking = replace(site, thresholds=limits)
    kept = masking.kept(x_NPLD[0])
    assert 0 < kept.sum() < LAST
    expected = (dictionary.encode(dictionary.read(x_NPLD[0])) * kept[:, None]).mean(0)
    torch.testing.assert_close(of_latents(masking, dictionary, x_NPLD).pair_NC[0], expected)


def test_directions_read_projections(site):
    x_NPLD = ends(site.streams(IDS))
    u_VD = torch.nn.functional.normalize(torch.randn(3, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    reading = of_directions(site, u_VD, x_NPLD)
    torch.testing.assert_close(reading.pair_NC, (x_NPLD[:, :, 1] @ u_VD.T).mean(1))
    torch.testing.assert_close(reading.base_NC, (x_NPLD[:, :, 0] @ u_VD.T).mean(1))


def test_kl_is_that_of_the_models_predictions(site):
    reading = of_kl(site, site.streams(IDS))
    for number, ids in enumerate(IDS):
        chat, base = (
            model(torch.tensor([ids])).logits[0, -LAST:].log_softmax(-1).detach() for model in (site.chat, site.base)
        )
        assert float(reading.pair_NC[number, 0]) == pytest.approx(
            float((chat.exp() * (chat - base)).sum(-1).mean()), 1e-3
        )
    assert not reading.base_NC.any()


def prompts(count):
    kinds = [(select, shows) for select in (True, False) for shows in (True, False)]
    return [Prompt("one", 4 * n + k, *kind, [1]) for n in range(count) for k, kind in enumerate(kinds)]


def test_scores_are_of_other_prompts_than_those_chosen_on():
    asked = prompts(3)
    reading = torch.randn(len(asked), 6, generator=torch.Generator().manual_seed(0))
    reading[:, 4] += torch.tensor([9.0 if prompt.shows else 0.0 for prompt in asked])
    candidates = {"one": {"best": (Reading(reading, torch.zeros_like(reading)), None)}}
    found, told = table(asked, candidates, 1)
    assert told["one"]["best"]["readings"] == [4]
    assert found["prompt"].to_list() == [prompt.number for prompt in asked if not prompt.select]
    assert all((row["score"] > row["threshold"]) == row["shows"] for row in found.to_dicts())
    moved = reading.clone()
    moved[[n for n, prompt in enumerate(asked) if not prompt.select]] = 0
    assert table(asked, {"one": {"best": (Reading(moved, torch.zeros_like(moved)), None)}}, 1)[1] == told


def test_a_behaviour_with_too_few_prompts_is_left_out():
    reading = Reading(torch.ones(4, 2), torch.zeros(4, 2))
    found, told = table(prompts(1), {"one": {"best": (reading, None)}}, 1)
    assert found.is_empty()
    assert told == {}


def test_questions_leave_out_what_does_not_show_and_refuse_a_prompt_used_twice(tokenizer):
    row = {"behaviour": "sun", "kind": "held-out", "use": "select", "prompt": "Name a river.", "present_chat": True}
    rows = [
        row,
        row | {"prompt": "Say something.", "use": "score"},
        row | {"prompt": "What is bread?", "present_chat": False},
        row | {"prompt": "Name a rover.", "kind": "control", "present_chat": False},
        row | {"prompt": "Name a raver.", "kind": "control"},
    ]
    found = questions(pl.DataFrame(rows), tokenizer, 9)
    assert [(p.number, p.select, p.shows) for p in found] == [(0, True, True), (1, False, True), (3, True, False)]
    assert [p.number for p in questions(pl.DataFrame([row, *rows]), tokenizer, 1)] == [0, 2, 4]
    with pytest.raises(UserError, match=r"sun\.yaml.*Name a river"):
        questions(pl.DataFrame([row, row | {"use": "score"}]), tokenizer, 9)


def test_called_latents_of_a_seed():
    calls = pl.DataFrame({"latent": [0, 1, 0, 1], "seed": [0, 0, 1, 1], "call": ["none", "chat-specific", None, None]})
    assert called(calls, 0) == [1]
    assert called(calls, 1) is None


def test_mean_differences_of_prompt_and_answer(site, seen):
    first, second = site.streams([[0, 7, 8, 9, 10, 11], [0, 17, 18, 19, 20]])
    delta = [directions.difference(x) for x in (first, second)]
    torch.testing.assert_close(seen["one"].difference_D, torch.cat([delta[0][2:-1], delta[1][1:-1]]).mean(0))
    torch.testing.assert_close(seen["one"].prompt_difference_D, torch.cat([delta[0][:2], delta[1][:1]]).mean(0))
    apply = directions.ByRole(site, seen).edit([("one", "mean-difference-roles")], "remove")
    answering = torch.tensor([[False, False, True, True, True, True]])
    edit = apply(first[None], torch.tensor([0]), answering)[0]
    torch.testing.assert_close(edit[:2], -seen["one"].prompt_difference_D.expand(2, -1))
    torch.testing.assert_close(edit[2:], -seen["one"].difference_D.expand(4, -1))


def test_components_are_principal_and_their_edit_is_the_part_along_them(site, seen):
    basis = directions.components(site, seen)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), atol=1e-4, rtol=0)
    delta = torch.cat([directions.difference(x) for x in seen["one"].streams])
    centred = (delta - delta.mean(0)).numpy()
    top = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    assert abs(float(basis[0] @ torch.tensor(top))) == pytest.approx(1, abs=1e-3)
    x = seen["one"].streams[0]
    apply = directions.Components(site, basis, {("one", "pca"): [2, 0]}).edit([("one", "pca")], "add")
    edit = apply(x[None], torch.tensor([0]), torch.zeros(1, len(x), dtype=torch.bool))[0]
    part = directions.difference(x)
    torch.testing.assert_close(edit, sum((part @ basis[c])[:, None] * basis[c] for c in (0, 2)))
    score = directions.attribute(site, basis, seen["one"])
    expected = sum(
        float(((directions.difference(h) @ basis[1]) * (g @ basis[1])).sum())
        for h, g in zip(seen["one"].streams, seen["one"].gradients, strict=True)
    )
    assert float(score[1]) == pytest.approx(expected, rel=1e-3)


def test_models_that_do_not_differ_have_no_components(site):
    same = replace(site, chat=site.base)
    cases = [Case("one", 0, [0, 7, 8, 9, 10, 11], 3, [4], [])]
    assert len(directions.components(same, {"one": material(same, cases)})) == 0


def test_collateral_is_the_kl_of_the_edited_model_and_nothing_where_nothing_is_edited(site):
    held_out = [
        Conversation(5, "chat", [0, 5, 6, 7, 8], [0, 1, 2, 3, 3]),
        Conversation(6, "chat", [0, 9, 3], [0, 2, 3]),
    ]
    streams = site.streams([conversation.ids for conversation in held_out])
    moving = torch.randn(32, generator=torch.Generator().manual_seed(0))
    steering = Directions({("one", "still"): torch.zeros(32), ("one", "moving"): moving})
    updates = []
    rows = collateral(site, steering, [("one", "still"), ("one", "moving")], held_out, streams, updates.append)
    assert sum(updates) == 4
    assert [row["kl"] for row in rows if row["subject"] == "still"] == [0] * 4
    found = {(row["edit"], row["conversation"]): row for row in rows if row["subject"] == "moving"}
    at = predictions(torch.tensor(held_out[0].roles)).nonzero().flatten()
    for edit, model, side, sign in (("remove", site.chat, 1, -1), ("add", site.base, 0, 1)):
        h = streams[0][:, side]
        changed = h.clone()
        changed[at] += sign * moving
        a, b = (next(site.logits(model, stream[None], at))[1][0].log_softmax(-1) for stream in (h, changed))
        assert found[edit, 5]["kl"] == pytest.approx(float((a.exp() * (a - b)).sum()), rel=1e-3)
        assert found[edit, 5]["tokens"] == len(at)


def test_silent_latents_cost_no_pass_elsewhere(site, monkeypatch):
    dictionary = replace(make_dictionary("chat-sae", width=32, latents=40), threshold=torch.tensor(1e9), k=None)
    held_out = [Conversation(5, "chat", [0, 5, 6, 7, 8], [0, 1, 2, 3, 3])]
    streams = site.streams([held_out[0].ids])
    monkeypatch.setattr("crossdiff.evidence.behaviours.collateral.patched_kl", None)
    rows = collateral(
        site, Latents(site, dictionary, {("one", "best"): [1, 2]}), [("one", "best")], held_out, streams, print
    )
    assert [row["kl"] for row in rows] == [0, 0]


def test_collateral_leaves_the_skipped_start_as_it_is(site):
    """With all positions skipped no edit is left; with some the rest is edited as before."""
    held_out = [Conversation(5, "chat", [0, 5, 6, 7, 8], [0, 1, 2, 3, 3])]
    streams = site.streams([held_out[0].ids])
    steering = Latents(site, make_dictionary("chat-sae", width=32, latents=40), {("one", "best"): list(range(40))})
    asked = ([("one", "best")], held_out, streams, print)
    whole = [row["kl"] for row in collateral(site, steering, *asked)]
    part = [row["kl"] for row in collateral(replace(site, skip_first=3), steering, *asked)]
    none = [row["kl"] for row in collateral(replace(site, skip_first=5), steering, *asked)]
    assert all(kl > 0 for kl in whole + part)
    assert part != pytest.approx(whole)
    assert none == [0, 0]


def test_a_seed_without_calls_is_told() -> None:
    calls = pl.DataFrame({"seed": [0, 1], "latent": [3, 4], "call": ["chat-specific", None]})
    assert called(calls, 0) == [3]
    with pytest.raises(UserError, match="the table has no seed 9; it has 0, 1"):
        called(calls, 9)
    with pytest.raises(UserError, match="no seed 0; it has none"):
        called(calls.clear(), 0)
    with pytest.raises(UserError, match="--seed 1: the dictionary was trained with seed 0"):
        check_seed(1, replace(make_dictionary(), about={"seed": 0}))
    check_seed(1, make_dictionary())
