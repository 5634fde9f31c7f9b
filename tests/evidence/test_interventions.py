import torch

from crossdiff.evidence.interventions import Measures, crosscoder_sets, interventions, random_sets, sae_sets


def measures(latents=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.rand(latents, generator=generator, dtype=torch.float64)  # noqa: E731
    return Measures(
        alive=draw() > 0.1, delta_norm=draw(), nu_reconstruction=2.4 * draw() - 0.2, nu_error=2.4 * draw() - 0.2,
        nu_activation=2 * draw() - 1, nu_valid=draw() > 0.2,
    )  # fmt: skip


def test_crosscoder_halves_are_disjoint_candidates_in_order():
    m = measures()
    sets = {name: set(mask.nonzero().flatten().tolist()) for name, mask in crosscoder_sets(m, 0.5).items()}
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
    sets = {name: set(mask.nonzero().flatten().tolist()) for name, mask in sae_sets(m, 0.3).items()}
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


def test_names_by_kind():
    names = {kind: [i.name for i in interventions(kind, measures(), 0.3, 2, 0)] for kind in
             ("crosscoder", "diff-sae", "chat-sae", "base-sae")}  # fmt: skip
    assert names["crosscoder"] == [
        "all", "all-with-bias", "error", "best-delta", "worst-delta", "best-nu", "worst-nu", "random-0", "random-1",
    ]  # fmt: skip
    assert names["diff-sae"] == ["full", "error", "bias", "best-nu", "worst-nu", "random-0", "random-1"]
    assert names["chat-sae"] == ["best-nu", "worst-nu", "random-0", "random-1"]
    assert names["base-sae"] == []
