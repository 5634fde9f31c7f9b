from dataclasses import replace
from typing import get_args

import pytest
import torch
from made import make_dictionary, make_pairs

from crossdiff.attribution.directions import offset
from crossdiff.costs.stages import STREAMS
from crossdiff.evidence.kl.interventions import edited_streams, interventions
from crossdiff.evidence.sets import (
    Candidates,
    Measures,
    crosscoder_sets,
    opposite_set,
    random_sets,
    sae_sets,
    threshold_sets,
)
from crossdiff.evidence.settings import Evidence, Group

KINDS = ("crosscoder", "diff-sae", "chat-sae", "base-sae")
GROUPS = get_args(Group)
DEFAULT = Evidence().interventions


def measures(latents=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.rand(latents, generator=generator, dtype=torch.float64)  # noqa: E731
    return Measures(
        alive=draw() > 0.1, delta_norm=draw(), nu_reconstruction=2.4 * draw() - 0.2, nu_error=2.4 * draw() - 0.2,
        nu_activation=2 * draw() - 1, nu_valid=draw() > 0.2,
    )  # fmt: skip


def test_crosscoder_halves_are_disjoint_candidates_in_order():
    m = measures()
    sets = {name: set(mask.nonzero().flatten().tolist()) for name, mask in crosscoder_sets(m, Candidates(0.5)).items()}
    live = sorted((i for i in range(40) if m.alive[i]), key=lambda i: -float(m.delta_norm[i]))[:20]
    allowed = [i for i in live if -0.1 <= m.nu_reconstruction[i] <= 2 and -0.1 <= m.nu_error[i] <= 2]
    half = len(allowed) // 2
    assert 3 < half < 10
    assert sets["best-delta"] == set(allowed[:half])
    assert sets["worst-delta"] == set(allowed[-half:])
    order = {nu: sorted(allowed, key=lambda i: float(getattr(m, nu)[i])) for nu in ("nu_reconstruction", "nu_error")}
    rank = {i: sum(ranks.index(i) for ranks in order.values()) for i in allowed}
    assert max(rank[i] for i in sets["best-nu"]) <= min(rank[i] for i in sets["worst-nu"])
    assert len(sets["best-nu"]) == len(sets["worst-nu"]) == half
    assert not sets["best-nu"] & sets["worst-nu"]


def test_sae_sets_are_the_lowest_and_the_next_well_posed():
    m = measures()
    sets = {name: set(mask.nonzero().flatten().tolist()) for name, mask in sae_sets(m, Candidates(0.3)).items()}
    allowed = sorted(
        (i for i in range(40) if m.alive[i] and m.nu_valid[i]), key=lambda i: abs(float(m.nu_activation[i]))
    )
    assert sets["best-nu"] == set(allowed[:6])
    assert sets["worst-nu"] == set(allowed[6:12])


def test_random_sets_are_live_of_one_size_and_repeatable():
    m = measures()
    first, second = random_sets(m.alive, 7, 3, 5), random_sets(m.alive, 7, 3, 5)
    assert list(first) == ["random-0", "random-1", "random-2"]
    for name, mask in first.items():
        assert int(mask.sum()) == 7
        assert not bool((mask & ~m.alive).any())
        assert torch.equal(mask, second[name])
    assert not torch.equal(first["random-0"], first["random-1"])


def test_the_study_s_candidates_are_the_highest_delta_less_the_dead():
    order = sorted(range(40), key=lambda i: -float(measures().delta_norm[i]))[:20]
    m = replace(measures(), alive=torch.tensor([i not in order[1:6:2] for i in range(40)]))
    allowed = [i for i in order if m.alive[i] and all(-0.1 <= v[i] <= 2 for v in (m.nu_reconstruction, m.nu_error))]
    sets = crosscoder_sets(m, Candidates(0.5, latents=20))
    half = len(allowed) // 2
    assert sets["best-delta"].nonzero().flatten().tolist() == sorted(allowed[:half])
    assert sets["worst-delta"].nonzero().flatten().tolist() == sorted(allowed[-half:])
    assert int(crosscoder_sets(m, Candidates(0.5, latents=20, nu_range=(-9.0, 9.0)))["best-nu"].sum()) > half


def test_threshold_sets_are_all_live_latents_beyond():
    m = measures()
    found = {name: mask.tolist() for name, mask in threshold_sets("crosscoder", m).items()}
    assert list(found) == ["delta-0.7", "nu-0.6", "nu-0.3"]
    assert found["delta-0.7"] == [bool(m.alive[i]) and float(m.delta_norm[i]) >= 0.7 for i in range(40)]
    well = [bool(m.alive[i] and m.nu_valid[i]) for i in range(40)]
    assert found["nu-0.3"] == [well[i] and abs(float(m.nu_activation[i])) <= 0.3 for i in range(40)]
    sae = {name: mask.tolist() for name, mask in threshold_sets("diff-sae", m).items()}
    assert list(sae) == ["nu-0.6", "nu-0.3", "nu-0.1"]
    assert sae["nu-0.6"] == found["nu-0.6"]
    assert 0 < sum(sae["nu-0.1"]) < sum(sae["nu-0.3"])


def test_the_opposite_tail_has_the_highest_nu():
    m = measures()
    tail = opposite_set(m, Candidates(0.3))["opposite-nu"]
    best = sae_sets(m, Candidates(0.3))["best-nu"]
    rest = m.alive & m.nu_valid & ~tail
    assert int(tail.sum()) == int(best.sum()) == 6
    assert float(m.nu_activation[tail].abs().min()) >= float(m.nu_activation[rest].abs().max())


def test_names_by_kind():
    names = {kind: [i.name for i in interventions(kind, measures(), DEFAULT, Candidates(0.3), 2, 0)] for kind in KINDS}
    assert names["crosscoder"] == [
        "all", "all-with-bias", "error", "best-delta", "worst-delta", "best-nu", "worst-nu", "random-0", "random-1",
    ]  # fmt: skip
    assert names["diff-sae"] == ["full", "error", "bias", "best-nu", "worst-nu", "random-0", "random-1"]
    assert names["chat-sae"] == ["best-nu", "worst-nu", "random-0", "random-1"]
    assert names["base-sae"] == []


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", KINDS)
def test_estimates_count_the_streams_of_every_group(kind, group):
    found = interventions(kind, measures(), [group], Candidates(0.3), 0, 0)
    assert len(found) == STREAMS.get(kind, {}).get(group, 0)
    assert len({each.name for each in found}) == len(found)


def streams(kind, groups):
    """Edited streams by name, with the dictionary and what it was given."""
    dictionary, x = make_dictionary(kind), make_pairs(30)
    chosen = interventions(kind, measures(11), groups, Candidates(0.9), 1, 0)
    found = edited_streams(dictionary, chosen, x, torch.ones(30, dtype=torch.bool))
    return dictionary, x, {each.name: each for each in chosen}, dict(zip([c.name for c in chosen], found, strict=True))


def test_additive_is_replacing_and_what_base_has_of_the_latents():
    dictionary, x, chosen, found = streams("crosscoder", ["halves", "additive"])
    f = dictionary.encode(dictionary.read(x))
    for name in ("best-delta", "worst-delta", "best-nu", "worst-nu"):
        own = (f * chosen[name].latents_F) @ dictionary.directions()[0]
        assert float(own.abs().max()) > 0.1
        torch.testing.assert_close(found[f"{name}-additive"], found[name] + own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["crosscoder", "diff-sae"])
def test_the_bias_goes_both_ways(kind):
    dictionary, x, _, found = streams(kind, ["whole", "halves", "bias"])
    bias = offset(dictionary)[1] - offset(dictionary)[0] if kind == "crosscoder" else offset(dictionary)[0]
    torch.testing.assert_close(found["bias"], x[:, 0] + bias)
    torch.testing.assert_close(found["minus-bias"], x[:, 0] - bias)
    if kind == "diff-sae":
        for name in ("best-nu", "worst-nu"):
            torch.testing.assert_close(found[f"{name}-with-bias"], found[name] + bias)
