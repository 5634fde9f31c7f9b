"""What all dictionaries share: read once, written whole, read back the same."""

import pytest
import torch

from crossdiff.errors import UserError
from crossdiff.evidence import shared
from crossdiff.evidence.behaviours.selection import Case
from crossdiff.evidence.kl.divergence import Conversation
from crossdiff.evidence.readings import Prompt
from crossdiff.evidence.streams import Site

LAYER, WIDTH = 1, 32


@pytest.fixture
def site(llama_pair):
    return Site(llama_pair.model("base"), llama_pair.model("chat"), LAYER, None)


def case(behaviour, first, targets=(4,)):
    return Case(behaviour, 0, [first, 7, 8, 9, 10, 11], 3, list(targets), [12, 13])


@pytest.fixture
def gathered(site):
    held_out = [Conversation(n, "chat", [n + 3, 5, 6, 7, 8][: 3 + n], [0, 1, 2, 3, 3][: 3 + n]) for n in range(3)]
    select = [case("one", 20), case("never", 21, ()), case("two", 22), case("one", 23)]
    score = [case("two", 30), case("never", 31), case("one", 32)]
    prompts = [Prompt("one", 0, True, True, [20, 7, 8, 9]), Prompt("one", 1, False, False, [24, 7, 8])]
    updates = []
    found = shared.gather(site, held_out, select, score, prompts, updates.append)
    return held_out, select, score, prompts, found, updates


def test_gather_reads_what_the_experiments_need(site, gathered):
    held_out, _, score, prompts, found, updates = gathered
    assert list(found.seen) == ["one", "two"]
    assert [len(material.streams) for material in found.seen.values()] == [2, 1]
    shown = shared.scored(found.seen, score)
    assert [c.ids[0] for c in shown] == [30, 32]
    for got, ids in (
        (found.conversations, [c.ids for c in held_out]),
        (found.tuned, [c.ids for c in shown]),
        (found.bases, [[*c.ids[:3], 12, 13] for c in shown]),
        (found.prompts, [prompt.ids for prompt in prompts]),
    ):
        for one, alone in zip(got, ids, strict=True):
            torch.testing.assert_close(one, site.streams([alone])[0], rtol=1e-4, atol=1e-5)
    assert sum(updates) == len(held_out) + 3 + len(score) + len(prompts)


def test_round_trip(gathered, tmp_path):
    found = gathered[4]
    shared.write(found, tmp_path / "shared.safetensors")
    back = shared.read(tmp_path / "shared.safetensors", "cpu")
    assert list(back.seen) == list(found.seen)
    one, other = found.tensors(), back.tensors()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one)


def test_order_survives_more_than_ten(site, tmp_path):
    held_out = [Conversation(n, "chat", list(range(1, 3 + n)), [3] * (2 + n)) for n in range(12)]
    found = shared.gather(site, held_out, [], [], [], lambda n: None)
    shared.write(found, tmp_path / "shared.safetensors")
    assert [len(x) for x in shared.read(tmp_path / "shared.safetensors", "cpu").conversations] == list(range(2, 14))


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(UserError, match="without a dictionary first"):
        shared.read(tmp_path / "none.safetensors", "cpu")


def test_a_file_that_is_cut_says_what_makes_it(gathered, tmp_path):
    file = tmp_path / "shared.safetensors"
    shared.write(gathered[4], file)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"shared\.safetensors cannot be read .*without a dictionary first"):
        shared.read(file, "cpu")


def test_it_fits_what_it_was_read_on_and_nothing_else(gathered):
    held_out, _, score, prompts, found, _ = gathered
    assert shared.fits(found, WIDTH, held_out, score, prompts)
    assert shared.fits(found, WIDTH, held_out, [], [])
    assert not shared.fits(found, 48, held_out, score, prompts)
    assert not shared.fits(found, WIDTH, held_out[:2], score, prompts)
    assert not shared.fits(found, WIDTH, held_out[::-1], score, prompts)
    assert not shared.fits(found, WIDTH, held_out, score[:1], prompts)
    assert not shared.fits(found, WIDTH, held_out, score, prompts[:1])
