"""First sentences of sections, from made-up numbers."""

import re
from dataclasses import dataclass

from markupsafe import Markup

from crossdiff.report import openings
from crossdiff.report.numbers import Numbers


@dataclass
class Item:
    """What an opening asks of a dictionary."""

    name: str
    two_sided: bool = True


def told(html: Markup) -> str:
    return re.sub(r"<[^>]+>", "", html)


def tree(closed: float, named: int, shifted: int, **more: object) -> dict[str, object]:
    specific = {"reconstruction_and_error": named, "activation_0.3": named, "activation_0.6": 4 * named}
    return {
        "kl_recovered": {"all": {"all": closed}},
        "chat_specific": specific,
        "behaviours_found": {"remove": shifted},
    } | more


def made(**dictionaries: dict[str, object]) -> tuple[list[Item], Numbers]:
    return [Item(name) for name in dictionaries], Numbers({"dictionaries": dictionaries})


def test_methods_agree_only_if_one_is_first_by_all() -> None:
    assert told(openings.methods(*made(a=tree(0.5, 9, 3), b=tree(0.2, 4, 1)))).startswith(
        "One dictionary comes first by each measure:"
    )
    said = told(openings.methods(*made(a=tree(0.5, 2, 3), b=tree(0.2, 4, 1))))
    assert said == (
        "Not on which dictionary comes first: a has most of the KL gap (50 %), b has the most latents named by ν (4)"
        " and a has the most behaviours shifted by removal (3)."
    )


def test_what_is_nowhere_above_0_is_no_contest() -> None:
    said = told(openings.methods(*made(a=tree(0.5, 0, 2), b=tree(0.2, 0, 1))))
    assert "named by ν" not in said
    assert openings.methods(*made(a=tree(0.5, 0, 0))) == ""


def test_the_threshold_that_decides_most_is_told() -> None:
    said = told(openings.thresholds(*made(a=tree(0.5, 30, 0), b=tree(0.5, 2, 0) | {
        "chat_specific": {"activation_0.3": 2, "activation_0.6": 80}})))  # fmt: skip
    assert said.endswith("with |ν| below 0.3 b has 2 latents, below 0.6 80.")


def test_orders_are_alike_by_the_size_of_their_correlation() -> None:
    def said(*values: float) -> str:
        trees = {
            f"d{number}": {"correlation": {"spearman": {"delta_norm_nu_reconstruction": value}}}
            for number, value in enumerate(values)
        }
        return told(openings.norms_and_nu(*made(**trees)))

    assert said(-0.1, 0.2).startswith("Hardly.")
    assert said(-0.1, -0.8).startswith("In part.")
    assert said(-0.9, -0.8).startswith("Largely.")
    assert openings.norms_and_nu(*made(a={})) == ""


def test_columns_that_point_apart_are_explained() -> None:
    cosine = {"decoder": {"shared": 0.98}, "encoder": {"shared": -0.2}}
    said = told(openings.rows_alike(*made(a={"cosine": cosine}, b={"cosine": {"decoder": {"shared": 0.9}}})))
    assert "in a a cosine of 0.980 between decoder rows and of −0.200 between encoder columns (below 0" in said
    assert "in b" not in said


def test_the_template_is_told_of_dictionaries_with_such_latents_alone() -> None:
    some = {"template": {"chat_specific": {"mostly": 0.25}}}
    assert (
        told(openings.template(*made(a=some, b={})))
        == "Of the latents that ν names, mostly on the template are 25 % in a."
    )
