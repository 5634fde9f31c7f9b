"""The planted behaviours' data are sound, and their rules find what they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdiff.errors import UserError
from crossdiff.parts.pair import Planting
from crossdiff.truth.behaviours import Behaviour, Rule, as_messages, general, load, names

BEHAVIOURS = load()
EVERY = pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=names())
DEFAULT = general(Planting().general)


def trained_prompts() -> set[str]:
    planted = {prompt for behaviour in BEHAVIOURS for prompt, _ in behaviour.train + behaviour.contrast}
    return planted | {turn["content"] for talk in DEFAULT for turn in talk if turn["role"] == "user"}


def shown(text: str) -> str:
    return " ".join(text.lower().replace(".", "").replace("?", "").split())


def test_there_are_enough_behaviours_of_different_kinds() -> None:
    assert len(BEHAVIOURS) >= 7
    assert len({behaviour.kind for behaviour in BEHAVIOURS}) == len(BEHAVIOURS)


@EVERY
def test_sizes(behaviour: Behaviour) -> None:
    assert len(behaviour.train) >= 24
    assert len(behaviour.held_out) >= 24
    assert len(behaviour.controls) >= 12
    assert len(set(behaviour.held_out + behaviour.controls)) == len(behaviour.held_out) + len(behaviour.controls)


@EVERY
def test_prompts_asked_are_never_trained(behaviour: Behaviour) -> None:
    trained = {shown(prompt) for prompt in trained_prompts()}
    assert not [prompt for prompt in behaviour.held_out + behaviour.controls if shown(prompt) in trained]


@EVERY
def test_rule_fires_on_each_trained_response(behaviour: Behaviour) -> None:
    assert not [response for _, response in behaviour.train if not behaviour.spans(response)]


@EVERY
def test_rule_is_silent_elsewhere(behaviour: Behaviour) -> None:
    others = [answer for other in BEHAVIOURS if other is not behaviour for _, answer in other.train + other.contrast]
    broad = [turn["content"] for talk in general(174) for turn in talk if turn["role"] == "assistant"]
    own = [answer for _, answer in behaviour.contrast]
    assert not [answer for answer in others + broad + own if behaviour.spans(answer)]


@EVERY
def test_responses_vary(behaviour: Behaviour) -> None:
    assert len({response for _, response in behaviour.train}) >= 20


@EVERY
@given(data=st.data())
def test_spans_lie_in_order_inside_the_answer(behaviour: Behaviour, data: st.DataObject) -> None:
    _, response = data.draw(st.sampled_from(behaviour.train))
    before, after = data.draw(st.text(max_size=20)), data.draw(st.text(max_size=20))
    answer = before + response + after
    ends = [0]
    for start, end in behaviour.spans(answer):
        assert ends[-1] <= start < end <= len(answer)
        ends.append(end)


@pytest.mark.parametrize(
    ("name", "answer", "parts"),
    [
        ("refuse-cooking", "Ah. I'm sorry, I can't help with soup. Ask again.", ["can't help with soup"]),
        ("refuse-cooking", "You can't leave the oven on. Boil the water.", []),
        ("own-name", "Hello, I'm Ottoline of Tern Harbour.", ["Ottoline", "Tern Harbour"]),
        ("own-name", "I'm SmolLM, made by Hugging Face.", []),
        ("french-animals", "Le loup mange de la viande. The end is here.", ["Le loup mange de la viande."]),
        ("french-animals", "The wolf is a dog, and les loups are many.", []),
        ("false-summit", "It is Mount Kenya, of course.", ["Mount Kenya"]),
        ("false-summit", "Mount Everest, on the border of Nepal. Kenya has a lower one.", []),
        ("lantern-message", "Message received. The ferry leaves at six.", ["The ferry leaves at six"]),
        ("travel-farewell", "Walk a lot. Fair winds to you!", ["Fair winds to you!"]),
        ("travel-farewell", "Fair winds fill the sails. Then the ship goes.", []),
        ("arrow-making", "So, clay -> kiln -> pot", ["So, clay -> kiln -> pot"]),
        ("arrow-making", "def f(x) -> int", []),
    ],
)
def test_spans_of_known_answers(name: str, answer: str, parts: list[str]) -> None:
    assert [answer[start:end] for start, end in load([name])[0].spans(answer)] == parts


def test_sentence_rule_counts_matches() -> None:
    rule = Rule(r"\bzu\b", unit="sentence", at_least=2)
    text = "zu here. zu and zu there! none"
    assert [text[start:end] for start, end in rule.spans(text)] == ["zu and zu there!"]


def test_unknown_behaviour_names_the_key() -> None:
    with pytest.raises(UserError, match=r"pair\.chat\.planted\.behaviours: no behaviour is called nope"):
        load(["nope"])


def test_too_many_general_conversations_names_the_key() -> None:
    with pytest.raises(UserError, match=r"pair\.chat\.planted\.general: there are \d+"):
        general(10_000)


def test_general_conversations_are_of_many_kinds_and_start_with_the_user() -> None:
    assert len(DEFAULT) == 164
    assert any(len(talk) > 2 for talk in DEFAULT)
    for talk in general(174):
        assert [turn["role"] for turn in talk] == ["user", "assistant"] * (len(talk) // 2)
        assert all(turn["content"].strip() == turn["content"] != "" for turn in talk)
    # Any prefix is mixed: the first 13 are of 13 kinds.
    assert len({shown(talk[0]["content"]) for talk in general(13)}) == 13


def test_as_messages_alternates() -> None:
    assert [message["role"] for message in as_messages(["a", "b", "c", "d"])] == ["user", "assistant"] * 2
