"""Edits with latents that are on in one model and off in the other: each adds what its own decoders would."""

from dataclasses import replace

import pytest
import torch
from made import make_dictionary, make_pairs

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.edits import Latents
from crossdiff.evidence.kl.interventions import Intervention, edited_streams


class Everything:
    """A site whose tokens are all ordinary."""

    def kept(self, x_BLD: torch.Tensor) -> torch.Tensor:
        return torch.ones(x_BLD.shape[:-2], dtype=torch.bool)


@pytest.fixture
def decoupled() -> Dictionary:
    return replace(make_dictionary(), score="decoupled", threshold=torch.tensor([0.6, 1.8]))


def only(dictionary: Dictionary, x_TLD: torch.Tensor, latents: list[int]) -> torch.Tensor:
    """Chat's reconstruction beyond base's with the codes of these latents alone, biases apart, [T, D]."""
    f_TF = dictionary.encode(x_TLD)
    chosen_TF = torch.zeros_like(f_TF)
    chosen_TF[:, latents] = f_TF[:, latents]
    rebuilt_TLD = dictionary.decode(chosen_TF) - dictionary.decode(torch.zeros_like(f_TF))
    return rebuilt_TLD[:, 1] - rebuilt_TLD[:, 0]


def test_patched_streams(decoupled: Dictionary) -> None:
    x = make_pairs(50)
    some = [2, 3, 7]
    masks = [
        torch.ones(11, dtype=torch.bool),
        torch.zeros(11, dtype=torch.bool).index_fill(0, torch.tensor(some), True),
    ]
    chosen = [Intervention("all", masks[0]), Intervention("some", masks[1], start="chat")]
    chosen.append(Intervention("more", masks[1], additive=True))
    found = edited_streams(decoupled, chosen, x, torch.ones(50, dtype=torch.bool))
    torch.testing.assert_close(found[0], x[:, 0] + only(decoupled, x, list(range(11))), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], x[:, 1] - only(decoupled, x, some), rtol=1e-4, atol=1e-4)
    f = decoupled.encode(x) * masks[1]
    added = (decoupled.decode(f) - decoupled.decode(torch.zeros_like(f)))[:, 1]
    torch.testing.assert_close(found[2], x[:, 0] + added, rtol=1e-4, atol=1e-4)


def test_edits_of_chosen_latents(decoupled: Dictionary) -> None:
    x = make_pairs(60)
    steering = Latents(Everything(), decoupled, {("a", "x"): [3], ("b", "x"): [7, 2]})  # type: ignore[arg-type]
    edit = steering.edit([("b", "x"), ("a", "x")], "remove")
    found = edit(x.view(2, 30, 2, 6), torch.tensor([0, 1]), torch.ones(2, 30))
    torch.testing.assert_close(found[0], -only(decoupled, x[:30], [7, 2]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], -only(decoupled, x[30:], [3]), rtol=1e-4, atol=1e-4)
