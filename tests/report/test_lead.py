"""Sentences of the first screen, from made-up numbers."""

import re
from types import SimpleNamespace
from typing import Any

from markupsafe import Markup

from crossdiff.report import gap, moved
from crossdiff.report.agreement import answer
from crossdiff.report.answer import Answer
from crossdiff.report.numbers import Numbers


def told(html: Markup | None) -> str:
    return re.sub(r"<[^>]+>", "", html or "")


def closing(best: float, random: float, low: float, high: float = 1.0) -> dict[str, Any]:
    margin = {"mean": best - random, "low": low, "high": high, "n": 9}
    return {
        "kl_recovered": {"all": {"best-nu": best, "random": random}},
        "margins": {"all": {"best_over_random": margin}},
    }


def test_less_harm_than_chance_is_not_told_as_no_difference() -> None:
    said = told(gap.halves(Numbers({"dictionaries": {
        "a": closing(0.2, 0.05, 0.1), "b": closing(-0.01, -0.07, 0.02), "c": closing(0.1, 0.09, -0.05),
        "d": closing(0.05, 0.07, -0.03, -0.01),
    }})))  # fmt: skip
    assert "close clearly more of the KL gap than a random set of their size in a (20 % against 5.0 %)" in said
    assert "do clearly less harm than a random set, but close nothing of the gap, in b (−1.0 % against −7.0 %)" in said
    assert "do not clearly better than a random set in c" in said
    assert "do clearly worse than a random set in d (5.0 % against 7.0 %)" in said
    assert gap.halves(Numbers({"dictionaries": {}})) is None


def shifting(**found: dict[str, float]) -> Numbers:
    dictionaries = {name: {"behaviours_found": counts} for name, counts in found.items()}
    return Numbers({"dictionaries": dictionaries, "pair": {"behaviours": {"one": {}, "two": {}}}, "behaviours": []})


def test_what_is_shifted_is_said_once() -> None:
    said = told(moved.shifts(shifting(a={"remove": 2, "add": 0}, b={"remove": 1, "add": 1}), 3))
    assert said == (
        "Latents of a, removed from the chat model, shift the answer's log-probability more than each of three random"
        " sets for 2 of 2 behaviours; latents of b, added to the base model, do so for 1."
    )


def test_it_is_said_with_the_first_edit_that_shifts_any() -> None:
    said = told(moved.shifts(shifting(a={"remove": 0, "add": 1}), 1))
    assert said.startswith("No dictionary's latents, removed from the chat model, make the answer to one of the two")
    assert said.endswith("latents of a, added to the base model, shift the answer's log-probability more than a random"
                         " set for 1 of 2 behaviours.")  # fmt: skip


def test_what_the_null_tune_upholds_of_the_base_and_could_not_see() -> None:
    def calls(upheld: float, least: int) -> dict[str, Any]:
        return {"calls": {
            "counts": {"upheld": {"base-specific": upheld}}, "power_upheld": {"chat-specific": {"least_calls": least}},
        }}  # fmt: skip

    items: Any = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
    study: Any = None
    made = Answer(study, Numbers({"dictionaries": {"a": calls(0, 10), "b": calls(7, 12)}}))
    assert told(made.of_the_base(items)) == "; of those that only the base has it upholds 7 in b"
    assert told(made.too_few(items)) == " (it could not uphold fewer than 12 in a dictionary)"
    none = Answer(study, Numbers({"dictionaries": {"a": calls(0, 10), "b": {"calls": {}}}}))
    assert none.of_the_base(items) == ""
    assert Answer(study, Numbers({"dictionaries": {"a": {}, "b": {}}})).too_few(items) == ""


def test_seeds_agree_if_all_dictionaries_do() -> None:
    assert answer([0.1, 0.49]) == "Mostly not."
    assert answer([0.1, 0.6]) == "In some dictionaries."
    assert answer([0.5, 0.6]) == "Mostly yes."
