"""The synthetic pair is what its design says: frequencies, families, classes, nuisances and the null."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdiff.dictionaries.recipe import Recipe
from crossdiff.truth.synthetic.factors import CLASSES, EFFECTS, chances, classes, families, spread_out
from crossdiff.truth.synthetic.presets import PRESETS
from crossdiff.truth.synthetic.world import Draw, World, build, generator

TINY = PRESETS["tiny"].design
CLEAN: dict[str, Any] = {"noise": 0.0, "offset": 0.0, "shift": 0.0, "drift": 0.0}


def draw(world: World, tokens: int, random: torch.Generator) -> Draw:
    return world.shown(world.events(tokens, random))


def members(world: World, name: str) -> torch.Tensor:
    return (world.factors.class_N == CLASSES.index(name)).nonzero().flatten()


def test_each_factor_fires_as_often_as_stated() -> None:
    world = build(TINY, 0)
    fires_BN = draw(world, 60_000, generator(0, 9)).fires_BLN.any(1)
    expected_N = world.factors.frequency()
    # Rows share a context, so a re-gated factor's count has the spread of rows, not of tokens.
    spread_N = (expected_N / 60_000).sqrt() * torch.where(world.factors.class_N == CLASSES.index("regated"), 4.0, 1.0)
    assert ((fires_BN.double().mean(0) - expected_N).abs() < 5 * spread_N).all()


def test_the_copula_correlates_firing_and_leaves_frequencies_alone() -> None:
    chances = {}
    for share in (0.0, 0.9):
        world = build(replace(TINY, copula_share=share, copula_rank=1), 0)
        on_BN = world.firing(20_000, generator(0, 1))[:, TINY.hierarchical :].double()
        chances[share] = torch.corrcoef(on_BN.T).fill_diagonal_(0).abs().mean()
    assert chances[0.9] > 5 * chances[0.0]


def test_children_fire_only_with_their_parent_and_never_together() -> None:
    design = replace(TINY, factors=60, depth=2, branching=2, roots=4)
    world = build(design, 1)
    on_BN = world.firing(5000, generator(0, 2))
    parent_N = world.factors.parent_N
    for parent in range(design.factors):
        children = (parent_N == parent).nonzero().flatten()
        assert len(children) in (0, design.branching)
        together_B = on_BN[:, children].sum(1)
        assert int(together_B.max()) <= 1
        assert bool((on_BN[:, parent] | (together_B == 0)).all())


def test_classes_are_what_they_are_called() -> None:
    world = build(replace(PRESETS["small"].design, **CLEAN), 3)
    base_ND, chat_ND = world.factors.direction_LND
    effect_N = world.factors.effect_N
    same = members(world, "identical")
    assert torch.equal(base_ND[same], chat_ND[same])
    scaled = members(world, "rescaled")
    torch.testing.assert_close(chat_ND[scaled], effect_N[scaled, None] * base_ND[scaled])
    turned = members(world, "rotated")
    cosine = (base_ND[turned] * chat_ND[turned]).sum(1)
    torch.testing.assert_close(torch.rad2deg(cosine.arccos()), effect_N[turned], atol=0.1, rtol=0)
    for name, absent_ND, there_ND in (
        ("base-only", chat_ND, base_ND),
        ("chat-only", base_ND, chat_ND),
        ("child-new", base_ND, chat_ND),
    ):
        assert not absent_ND[members(world, name)].any()
        torch.testing.assert_close(there_ND[members(world, name)].norm(dim=1), effect_N[members(world, name)])
    assert (world.factors.parent_N[members(world, "child-new")] >= 0).all()
    gate_LCN = world.factors.gate_LCN[:, :, members(world, "regated")]
    moved = (gate_LCN[0] & ~gate_LCN[1]).sum(0) / gate_LCN[0].sum(0)
    torch.testing.assert_close(moved, effect_N[members(world, "regated")])
    assert all(len(members(world, name)) for name in CLASSES)


def test_the_null_differs_by_nuisances_alone() -> None:
    world = build(TINY, 0).null()
    x_BLD = draw(world, 512, generator(0, 3)).x_BLD
    assert (x_BLD[:, 0] - x_BLD[:, 1]).norm() > 0.1 * x_BLD[:, 0].norm()
    clean = build(replace(TINY, **CLEAN), 0)
    assert not torch.equal(*draw(clean, 64, generator(0, 3)).x_BLD.unbind(1))
    torch.testing.assert_close(*draw(clean.null(), 64, generator(0, 3)).x_BLD.unbind(1))


def test_nuisances_have_the_stated_size() -> None:
    design = replace(PRESETS["small"].design, drift=0.3, shift=0.0, offset=0.0, noise=0.0)
    drifting, clean = build(design, 0).null(), build(replace(design, drift=0.0), 0).null()
    drift = (draw(drifting, 4000, generator(0, 4)).x_BLD - draw(clean, 4000, generator(0, 4)).x_BLD)[:, 1]
    signal = draw(clean, 4000, generator(0, 4)).x_BLD[:, 1]
    assert (drift.square().sum() / signal.square().sum()).sqrt() == pytest.approx(0.3, rel=0.5)
    strength = torch.linalg.svdvals(drift)
    assert int((strength > 1e-3 * strength[0]).sum()) == design.drift_rank


def test_the_stream_repeats_and_does_not_repeat_itself() -> None:
    first, again = (draw(build(TINY, 5), 100, generator(5, 2, 7)) for _ in range(2))
    other = draw(build(TINY, 5), 100, generator(5, 2, 8))
    assert torch.equal(first.x_BLD, again.x_BLD)
    assert not torch.equal(first.x_BLD, other.x_BLD)


@settings(max_examples=15, deadline=None)
@given(factors=st.integers(2, 60), width=st.integers(2, 40), seed=st.integers(0, 99))
def test_directions_are_of_norm_one_and_do_not_hang_on_the_chunk(factors: int, width: int, seed: int) -> None:
    design = replace(TINY, factors=factors, width=width, roots=0, child_new=0.0, overlap_steps=5)
    small, large = (spread_out(design, torch.Generator().manual_seed(seed), chunk=chunk) for chunk in (7, 99))
    torch.testing.assert_close(small.norm(dim=1), torch.ones(factors))
    torch.testing.assert_close(small, large, atol=1e-4, rtol=0)


def test_directions_are_pushed_apart() -> None:
    design = PRESETS["small"].design
    drawn, spread = (
        spread_out(replace(design, overlap_steps=steps), torch.Generator().manual_seed(0)) for steps in (0, 100)
    )
    assert overlap(drawn) > 0.4
    assert overlap(spread) < design.overlap + 0.02


def overlap(unit_ND: torch.Tensor) -> float:
    """Largest |cosine| of two factors."""
    return float((unit_ND @ unit_ND.T).fill_diagonal_(0).abs().max())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"contexts": 3}, "multiple of 4"), ({"roots": 99}, "hierarchy"), ({"chat_only": 0.9}, "change")],
)
def test_an_impossible_design_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_a_shrunk_recipe_keeps_its_kind_and_the_shares_of_its_schedule() -> None:
    recipe = Recipe(kind="diff-sae", steps=1000, warmup_steps=100, decay_start=800, threshold_start=500, k=50)
    small = PRESETS["small"].shrink(recipe)
    assert (small.kind, small.latents, small.k, small.steps) == ("diff-sae", 256, 7, 1200)
    assert (small.warmup_steps, small.decay_start, small.threshold_start) == (120, 960, 600)
    assert PRESETS["tiny"].shrink(Recipe(kind="crosscoder")).steps == 60


def test_a_schedule_that_changes_at_its_very_end_can_be_shrunk() -> None:
    late = Recipe(
        kind="diff-sae",
        steps=1000,
        warmup_steps=1000,
        threshold_start=999,
        k=1,
        k_start=900,
        k_anneal_steps=2,
        latents=900,
    )
    tiny = PRESETS["tiny"].shrink(late)
    assert (tiny.warmup_steps, tiny.threshold_start) == (59, 59)
    assert (tiny.k_start, tiny.k_anneal_steps) == (tiny.latents, 1)
    assert PRESETS["tiny"].shrink(replace(late, warmup_steps=998, decay_start=999)).decay_start == 59


@pytest.mark.parametrize("name", ["small", "paper"])
def test_a_preset_holds_every_class_at_every_effect(name: str) -> None:
    design, random = PRESETS[name].design, torch.Generator().manual_seed(0)
    parent_N, level_N, place_N2 = families(design)
    chance_N, _ = chances(design, parent_N, place_N2, random)
    class_N, effect_N = classes(design, parent_N, level_N, chance_N, random)
    found = {(CLASSES[number], effect) for number, effect in zip(class_N.tolist(), effect_N.tolist(), strict=True)}
    assert found == {(kind, effect) for kind, effects in EFFECTS.items() for effect in effects}
    assert float(chance_N.min()) > 0
