"""A planted causal latent is found, its removal hurts, and checked drafts give what plain generation gives."""

from dataclasses import replace

import polars as pl
import pytest
import torch

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.errors import UserError
from crossdiff.evidence.behaviours.causal import accepted, behaviour_effects
from crossdiff.evidence.behaviours.effects import elsewhere
from crossdiff.evidence.behaviours.selection import attribute, best, gradients, matched, material
from crossdiff.evidence.edits import Directions, Latents
from crossdiff.evidence.generate import greedy
from crossdiff.evidence.kl.divergence import Conversation
from crossdiff.evidence.prepare import cases, conversations, measures, stop_tokens
from crossdiff.evidence.streams import Site
from crossdiff.pair.blocks import upper

LAYER, LATENTS, PLANTED = 1, 24, 17
PROMPTS = ("Name a river.", "How do plants grow?", "What is bread?", "Say something.")


@pytest.fixture
def site(llama_pair):
    return Site(llama_pair.model("base"), llama_pair.model("chat"), LAYER, None)


@pytest.fixture
def found(tokenizer):
    """Two select and two score prompts of one behaviour; it shows in the word "sun"."""
    rows = []
    for number, prompt in enumerate(PROMPTS):
        answer = f"{prompt[:6]} The quick dog sleeps in the sun."
        rows.append(
            {
                "behaviour": "sun",
                "kind": "held-out",
                "use": ("select", "score")[number % 2],
                "prompt": prompt,
                "answer_base": "Paris, water and salt.",
                "answer_chat": answer,
                "spans_chat": [{"start": answer.index("sun"), "end": answer.index("sun") + 3}],
            }
        )
    control = rows[0] | {"kind": "control"}
    return cases(pl.DataFrame([control, *rows]), tokenizer, 12)


def effects_of(site, steering, score, generated, limit, stops, update=lambda n: None, added=9):
    """`behaviour_effects` with the streams that `shared.gather` would read."""
    tuned = site.streams([case.ids for case in score])
    bases = site.streams([case.ids[: case.answer] + case.base_answer for case in score])
    both = {"remove": generated, "add": generated}
    return behaviour_effects(site, steering, score, tuned, bases, both, added, limit, stops, update)


def planted_dictionary(site, seen):
    """Every latent is always active; all write small random directions but one, which writes the gradient's."""
    generator = torch.Generator().manual_seed(0)
    decoder = torch.zeros(2, LATENTS, 32)
    decoder[1] = torch.nn.functional.normalize(torch.randn(LATENTS, 32, generator=generator), dim=1)
    decoder[0] = 0.5 * decoder[1]
    slope = torch.cat(seen.gradients).sum(0)
    decoder[1, PLANTED] = slope / slope.norm()
    decoder[0, PLANTED] = 0
    return Dictionary(
        kind="crosscoder", score="sum", encoder=0.01 * torch.randn(2, 32, LATENTS, generator=generator),
        encoder_bias=torch.full((LATENTS,), 0.6), decoder=decoder, decoder_bias=torch.zeros(2, 32),
        threshold=torch.tensor(0.0), mean=torch.zeros(2, 32), scale=torch.tensor(1.0),
    )  # fmt: skip


def test_cases_hold_the_answer_and_the_tokens_that_show_the_behaviour(found, tokenizer):
    assert [len(found[use]) for use in ("select", "score")] == [2, 2]
    case = found["score"][0]
    assert tokenizer.decode(case.ids[case.answer :]) == "How do The quick dog sleeps in the sun."
    assert "sun" in tokenizer.decode([case.ids[t] for t in case.targets])
    assert len(tokenizer.decode([case.ids[t] for t in case.targets])) <= 5
    assert tokenizer.decode(case.base_answer) == "Paris, water and salt."
    assert [c.prompt for c in found["select"]] == [1, 3]


def test_gradient_equals_finite_differences(site, found):
    case = found["select"][0]
    others = [found["score"][0], case, found["score"][1]]
    streams = site.streams([other.ids for other in others])
    h = streams[1][:, 1]

    def logprob(h_TD):
        log = upper(site.chat, LAYER, h_TD[None]).log_softmax(-1)[0]
        return float(sum(log[t - 1, case.ids[t]] for t in case.targets))

    slope = gradients(site, others, streams)[1]
    step = 1e-2 * torch.randn(h.shape, generator=torch.Generator().manual_seed(0))
    assert logprob(h + step) - logprob(h - step) == pytest.approx(2 * float((slope * step).sum()), rel=0.03)
    assert not slope[max(case.targets) :].any()


def test_attribution_equals_its_definition(site, found):
    seen = material(site, found["select"])
    dictionary = planted_dictionary(site, seen)
    score, mass = attribute(site, dictionary, seen)
    v = dictionary.decoder[1] - dictionary.decoder[0]
    f = [dictionary.encode(x) for x in seen.streams]
    expected = sum((f_t * (g @ v.T)).sum(0) for f_t, g in zip(f, seen.gradients, strict=True))
    torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(mass, sum(f_t.sum(0) for f_t in f) * v.norm(dim=1), rtol=1e-4, atol=1e-6)


def test_planted_latent_is_chosen_and_carries_the_behaviour(site, found):
    seen = material(site, found["select"])
    dictionary = planted_dictionary(site, seen)
    score, mass = attribute(site, dictionary, seen)
    top = best(score, 1)
    assert top == [PLANTED]
    random = matched(mass, top, set(top), torch.Generator().manual_seed(0))
    steering = Latents(site, dictionary, {("sun", "best"): top, ("sun", "random-0"): random, ("sun", "none"): []})
    effects = effects_of(site, steering, found["score"], ["best"], 8, set())
    assert len(effects) == 2 * 2 * 3
    mean = {
        (subject, edit): sum(e.logprob for e in effects if (e.subject, e.edit) == (subject, edit)) / 2
        for subject in steering.subjects
        for edit in ("remove", "add")
    }
    assert mean["best", "remove"] < mean["none", "remove"] - 0.1
    assert mean["best", "add"] > mean["none", "add"] + 0.1
    assert abs(mean["random-0", "remove"] - mean["none", "remove"]) < mean["none", "remove"] - mean["best", "remove"]
    assert all((e.answer is not None) == (e.subject == "best") for e in effects)


def test_logprobs_of_the_unedited_models(site, found):
    vectors = {("sun", "none"): torch.zeros(32)}
    effects = effects_of(site, Directions(vectors), found["score"], [], 8, set())
    for effect in effects:
        model = site.chat if effect.edit == "remove" else site.base
        case = effect.case
        log = model(input_ids=torch.tensor([case.ids])).logits[0].log_softmax(-1)
        expected = sum(float(log[t - 1, case.ids[t]]) for t in case.targets) / len(case.targets)
        assert effect.logprob == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("draft", ["agrees", "differs", "stops"])
def test_checked_drafts_give_what_plain_generation_gives(site, found, draft):
    seen = material(site, found["select"])
    dictionary = planted_dictionary(site, seen)
    steering = Latents(site, dictionary, {("sun", "best"): [PLANTED, 3]})
    score = []
    for case in found["score"]:
        for edit, running in (("remove", "chat"), ("add", "base")):
            apply = steering.edit([("sun", "best")], edit)
            (own,) = greedy(site, running, apply, [case.ids[: case.answer]], [case.answer], [9], set())
            if draft == "agrees":
                own = own[:9]
            elif draft == "differs":
                own = [*own[:4], (own[4] + 1) % 300, *own[5:]]
            else:
                own = own[:3]
            if edit == "remove":
                case = replace(case, ids=case.ids[: case.answer] + own, targets=[case.answer])
            else:
                case = replace(case, base_answer=own)
        score.append(case)
    stops = set()
    if draft == "stops":  # the token after the draft ends the answer of the first case
        (own,) = greedy(
            site, "chat", steering.edit([("sun", "best")], "remove"), [score[0].ids], [score[0].answer], [1], set()
        )
        stops = set(own)
    updates = []
    effects = effects_of(site, steering, score, ["best"], 9, stops, updates.append)
    assert sum(updates) == len(effects) == 4
    for effect in effects:
        case = effect.case
        running = "chat" if effect.edit == "remove" else "base"
        apply = steering.edit([("sun", "best")], effect.edit)
        (plain,) = greedy(site, running, apply, [case.ids[: case.answer]], [case.answer], [9], stops)
        assert effect.answer == plain


def test_few_additions_are_answered_and_all_are_scored(site, found):
    steering = Latents(site, planted_dictionary(site, material(site, found["select"])), {("sun", "best"): [PLANTED]})
    few, all_ = (effects_of(site, steering, found["score"], ["best"], 6, set(), added=added) for added in (1, 2))
    assert [(e.edit, e.answer is not None) for e in few] == [
        ("remove", True), ("remove", True), ("add", True), ("add", False),
    ]  # fmt: skip
    assert [e.answer for e in few[:3]] == [e.answer for e in all_[:3]]
    assert [e.logprob for e in few] == pytest.approx([e.logprob for e in all_], abs=1e-5)
    # Without a draft only the positions before the targets are read; the others are, too, with one.
    read = effects_of(site, steering, found["score"], [], 6, set())
    assert [e.logprob for e in read] == pytest.approx([e.logprob for e in all_], abs=1e-5)


def test_accepted():
    assert accepted([4, 5, 6, 7], [4, 5, 9]) == 2
    assert accepted([4, 5, 6, 7], [4, 5, 6]) == 3
    assert accepted([4], []) == 0


def test_latents_edit_only_tokens_of_ordinary_norm(site, found):
    seen = material(site, found["select"])
    dictionary = planted_dictionary(site, seen)
    x = seen.streams[0]
    limit = float(x[:, 1].norm(dim=-1).median())
    masking = replace(site, thresholds=[1e9, limit])
    rows = [("sun", "a"), ("sun", "b")]
    steering = Latents(masking, dictionary, {rows[0]: [PLANTED], rows[1]: [2, PLANTED]})
    found_ = steering.edit(rows, "remove")(x[None].expand(2, -1, -1, -1), torch.tensor([1, 0]), torch.zeros(2, len(x)))
    v, f = dictionary.decoder[1] - dictionary.decoder[0], dictionary.encode(x) * masking.kept(x)[:, None]
    torch.testing.assert_close(found_[1], -f[:, PLANTED, None] * v[PLANTED])
    torch.testing.assert_close(found_[0], -f[:, PLANTED, None] * v[PLANTED] - f[:, 2, None] * v[2])


def test_nothing_is_edited_before_the_skipped_start_ends(site, found):
    seen = material(site, found["select"])
    sets = {("sun", "best"): list(range(LATENTS))}
    unedited = Directions({("sun", "best"): torch.zeros(32)})
    logprobs = []
    for skip, latents in ((0, True), (10, True), (10_000, True), (0, False)):
        skipping = replace(site, skip_first=skip)
        steering = Latents(skipping, planted_dictionary(site, seen), sets) if latents else unedited
        effects = effects_of(skipping, steering, found["score"], ["best"], 4, set())
        logprobs.append([effect.logprob for effect in effects])
        if skip == 10_000 or not latents:
            answers = [effect.answer for effect in effects]
            assert answers == effects_answers(site, found, unedited)
    assert logprobs[0] != logprobs[1] != logprobs[2]
    assert logprobs[2] == pytest.approx(logprobs[3])


def effects_answers(site, found, steering):
    """Answers of the whole behaviour experiment under ``steering``."""
    return [effect.answer for effect in effects_of(site, steering, found["score"], ["best"], 4, set())]


def test_matched_latents_have_the_mass_of_the_chosen():
    generator = torch.Generator().manual_seed(0)
    mass = torch.randn(400, generator=generator).exp()
    mass[300:] = 0
    chosen = [3, 70, 150]
    drawn = matched(mass, chosen, set(chosen), torch.Generator().manual_seed(1))
    assert len(set(drawn)) == 3
    assert not set(drawn) & set(chosen)
    assert max(drawn) < 300
    free = [i for i in range(300) if i not in chosen]
    for latent, other in zip(chosen, drawn, strict=True):
        ratio = abs(float((mass[other] / mass[latent]).log()))
        nearest = sorted(abs(float((mass[i] / mass[latent]).log())) for i in free)
        assert ratio <= nearest[12]
    assert drawn != matched(mass, chosen, set(chosen), torch.Generator().manual_seed(2))


def test_matched_takes_what_there_is():
    assert matched(torch.tensor([1.0, 2.0, 0.0]), [0, 1], {0, 1}, torch.Generator()) == []
    assert matched(torch.tensor([1.0, 2.0, 3.0]), [0, 1], {0, 1}, torch.Generator()) == [2]


def test_best_takes_only_positive_scores():
    assert best(torch.tensor([0.1, -2.0, 3.0, 0.0]), 3) == [2, 0]


def test_conversations_end_with_the_last_prediction():
    rows = pl.DataFrame(
        {
            "row": [2, 0, 1, 3],
            "split": ["validation", "train", "validation", "validation"],
            "source": ["chat", "chat", "web", "chat"],
            "ids": [[5, 6, 7, 8, 9, 10]] * 4,
            "roles": [[0, 1, 3, 1, 2, 2], [0, 1, 3, 1, 2, 2], [0, 4, 4, 4, 4, 4], [0, 2, 1, 3, 3, 3]],
        }
    )
    first, second = conversations(rows, 5, 99)
    assert (first.row, first.ids, first.roles) == (2, [5, 6, 7, 8], [0, 1, 3, 1])
    assert (second.row, second.ids) == (3, [5, 6, 7, 8, 9, 10])
    assert [c.row for c in conversations(rows, 1, 99)] == [2]
    assert [c.ids for c in conversations(rows, 5, 2)] == [[5, 6, 7, 8], [5, 6, 7, 8, 9]]
    with pytest.raises(UserError, match=r"corpus\.sources"):
        conversations(rows.filter(pl.col("source") == "web"), 5, 99)


def test_measures_read_nulls_as_undefined():
    frame = pl.DataFrame({"dead": [False, True], "nu_activation": [0.5, None], "nu_valid": [True, None]})
    found_ = measures(frame)
    assert found_.alive.tolist() == [True, False]
    assert found_.nu_valid.tolist() == [True, False]
    assert bool(found_.nu_activation[1].isnan())
    assert bool(found_.delta_norm.isnan().all())


def test_stop_tokens(tokenizer):
    assert stop_tokens(tokenizer) == set(tokenizer.all_special_ids)


def test_elsewhere_nothing_was_planted():
    sources = ["chat", "planted", "planted", "web", "chat", "web"]
    held_out = [Conversation(row, source, [0], [0]) for row, source in enumerate(sources)]
    assert elsewhere(held_out, 3) == [0, 3, 4]
    assert elsewhere(held_out, 0) == []
    assert elsewhere(held_out[1:3], 2) == []
