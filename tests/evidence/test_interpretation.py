"""The parts of interpretation: texts, samples, prompts, replies and scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import make_dictionary, make_pairs

from crossdiff.activations.store import Block
from crossdiff.errors import UserError
from crossdiff.evidence.interpretation import prompts
from crossdiff.evidence.interpretation.activity import Texts, activity, nearest
from crossdiff.evidence.interpretation.replies import Replies
from crossdiff.evidence.interpretation.sampling import GROUPS, draw, halves, quarters, similar
from crossdiff.evidence.interpretation.scores import Verdicts, numbers, shares, summary
from crossdiff.evidence.interpretation.settings import Judge
from crossdiff.parsing import parse


def test_rows_are_cut_into_texts_and_others_left_out() -> None:
    found = Texts.of(torch.tensor([5, 0, 4, 1]), 2)
    assert found.row_C.tolist() == [0, 0, 0, 2, 2, 3]
    assert found.first_C.tolist() == [0, 2, 4, 0, 2, 0]
    assert found.number(torch.tensor([0, 2, 3]), torch.tensor([4, 3, 0])).tolist() == [2, 4, 5]


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_activity_is_the_largest_of_a_text(kind: str) -> None:
    dictionary, x = make_dictionary(kind), make_pairs(40)
    row, position = torch.arange(40) // 10, torch.arange(40) % 10
    texts = Texts.of(torch.full((4,), 10), 4)
    latents = torch.tensor([3, 0, 7])
    block = Block(x, row, position, row, row)
    parts = [Block(*(field[piece] for field in block)) for piece in torch.arange(40).split(7)]
    found = activity(dictionary, latents, parts, texts)
    whole = (dictionary.encode(dictionary.read(x)) * dictionary.score_weight())[:, latents]
    for number in range(12):
        here = (row == texts.row_C[number]) & (position // 4 == texts.first_C[number] // 4)
        torch.testing.assert_close(found[number], whole[here].amax(0).clamp(min=0))


def test_nearest_are_live_others() -> None:
    dictionary = make_dictionary(latents=6)
    dictionary.decoder[1, 4] = 2 * dictionary.decoder[1, 1]
    dictionary.decoder[1, 5] = 3 * dictionary.decoder[1, 1]
    alive = torch.tensor([True, True, True, True, True, False])
    found = nearest(dictionary, torch.tensor([1]), alive, 3)
    assert found[0, 0] == 4
    assert not {1, 5} & set(found[0].tolist())
    assert nearest(dictionary, torch.tensor([1]), alive, 99).shape == (1, 4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3), st.integers(6, 60))
def test_a_sample_has_what_it_says(seed: int, examples: int, each: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    row = torch.arange(rows).repeat_interleave(3)
    own = torch.rand(3 * rows, generator=generator) * (torch.rand(3 * rows, generator=generator) < 0.4)
    near = torch.rand(3 * rows, 2, generator=generator) * (torch.rand(3 * rows, 2, generator=generator) < 0.5)
    shown = halves(row, generator)
    assert all(len(set(shown[row == number].tolist())) == 1 for number in range(rows))
    sample = draw(own, row, shown, examples, each, generator)
    if sample is None:
        return
    sample.judged["similar"] = similar(own, near, row, shown, sample.judged, each)
    judged = [text for part in sample.judged.values() for text in part]
    assert list(sample.judged) == list(GROUPS)
    assert len({int(row[text]) for text in judged}) == len(judged)
    assert shown[sample.explained].all()
    assert not shown[judged].any()
    assert len(sample.explained) == 3 * examples
    assert own[sample.explained].tolist() == sorted(own[sample.explained].tolist(), reverse=True)
    weak, middle, strong = (own[sample.judged[name]] for name in GROUPS[:3])
    assert 0 < weak.min() <= weak.max() <= middle.min() <= middle.max() <= strong.min()
    assert (own[sample.judged["random"] + sample.judged["similar"]] == 0).all()
    assert (near[sample.judged["similar"]] > 0).any(1).all()


def test_quarters_by_rank() -> None:
    value = torch.tensor([5.0, float("nan"), 1, 2, 8, 7, 6, 3, 4])
    assert quarters(value).tolist() == [2, -1, 0, 0, 3, 3, 2, 1, 1]


def test_marks_stand_around_runs_of_active_tokens() -> None:
    assert prompts.marked(["a", " b", " c", "d"], [True, True, False, True]) == "«a b» c«d»"
    assert prompts.marked(["a"], [False]) == "a"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("[1, 0, 1]", [True, False, True]),
        ("Here it is:\n```json\n[true, false, true]\n```", [True, False, True]),
        ("[1, 0]", None),
        ("[1, 0, 2]", None),
        ("[1, 0, 1.0]", None),
        ('["1", "0", "1"]', None),
        ("[1, 0, 1] or [0, 0, 0]", None),
        ("1, 0, 1", None),
        ("", None),
    ],
)
def test_verdicts_are_read_strictly(reply: str, said: list[bool] | None) -> None:
    assert prompts.verdicts(reply, 3) == said


def test_explanations_are_one_line_without_their_name() -> None:
    assert prompts.explanation("\n**Explanation:** words\nof law.\n\nMore.") == "words of law."
    assert prompts.explanation(" \n") is None
    assert prompts.explanation("Explanation:") is None


def test_replies_outlive_a_cut_line(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    Replies(file).put("a", "one\n«é»")
    file.write_bytes(file.read_bytes() + b'{"key": "b", "re')
    again = Replies(file)
    assert (again.get("a"), again.get("b")) == ("one\n«é»", None)
    again.put("c", "three")
    last = Replies(file)
    assert (last.get("a"), last.get("c")) == ("one\n«é»", "three")


def made(latents: int, rows: int, right: float, seed: int) -> Verdicts:
    """As many verdicts of each latent as rows, each right with a chance."""
    rng = np.random.default_rng(seed)
    latent, row = (part.ravel() for part in np.meshgrid(np.arange(latents), np.arange(rows), indexing="ij"))
    group = (row + latent) % len(GROUPS)
    yes = (rng.random(len(row)) < right) == (group < 3)
    return Verdicts(latent, row, group, yes)


def test_numbers_are_those_of_a_plain_count() -> None:
    verdicts = made(4, 25, 0.7, 0)
    found = {name: float(value[0]) for name, value in numbers(shares(verdicts, np.ones((1, 100)))).items()}
    right = verdicts.yes_V == (verdicts.group_V < 3)
    accuracy = [float(right[verdicts.group_V == group].mean()) for group in range(5)]
    yes = [float(verdicts.yes_V[verdicts.group_V == group].mean()) for group in range(5)]
    assert [found[name] for name in GROUPS] == pytest.approx(accuracy)
    assert found["total_similar"] == pytest.approx((accuracy[1] + accuracy[2] + accuracy[4]) / 3)
    assert found["chance_similar"] == pytest.approx((1 + (yes[1] + yes[2] + yes[4]) / 3) / 3)


def test_intervals_cover_the_truth_and_know_of_clusters() -> None:
    covered = 0
    for seed in range(40):
        interval = summary(made(6, 40, 0.8, seed), 300, seed)["total_random"]
        covered += interval["low"] <= 0.8 <= interval["high"]
    assert covered >= 34
    # The same verdict on all texts of a row: many latents add rows' noise once, not many times.
    verdicts = made(1, 25, 0.7, 1)
    copies = Verdicts(*(np.tile(getattr(verdicts, name), 30) for name in ("latent_V", "row_V", "group_V", "yes_V")))
    one, many = (summary(some, 500, 0)["total_random"] for some in (verdicts, copies))
    assert many["high"] - many["low"] == pytest.approx(one["high"] - one["low"], rel=1e-6)


def test_numbers_of_groups_without_verdicts_are_left_out() -> None:
    verdicts = made(3, 20, 0.7, 0)
    found = summary(verdicts.of(verdicts.group_V != GROUPS.index("similar")), 50, 0)
    assert "total_random" in found
    assert not {"similar", "total_similar", "chance_similar", "margin_similar"} & set(found)
    assert summary(verdicts.of(np.zeros(60, dtype=bool)), 50, 0) == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "exactly one of base_url and path"),
        ({"base_url": "https://x/v1", "model": "m", "path": "y"}, "exactly one of base_url and path"),
        ({"base_url": "https://x/v1"}, "name the model"),
        ({"base_url": "ftp://x", "model": "m"}, "base_url"),
    ],
)
def test_a_judge_is_in_one_place(data: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Judge, data)
