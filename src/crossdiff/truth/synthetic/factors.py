"""The factors of a synthetic pair: directions, classes, effects, frequencies and families. Pure and seeded.

L models (0 base, 1 chat), N factors, D width, C contexts.
"""

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from crossdiff.truth.synthetic.presets import Design

CLASSES = ("identical", "rescaled", "rotated", "regated", "base-only", "chat-only", "child-new")
"""Shared identical, shared with another magnitude, shared with another direction, same direction in other contexts,
in one model only, and a child of a shared parent that only the chat model has."""
SHARED = CLASSES[:4]
EFFECTS: dict[str, tuple[float, ...]] = {
    "identical": (0.0,),
    "rescaled": (0.25, 0.5, 2.0, 4.0),
    "rotated": (15.0, 30.0, 60.0),
    "regated": (0.5, 1.0),
    "base-only": (0.5, 1.0, 2.0),
    "chat-only": (0.5, 1.0, 2.0),
    "child-new": (0.5, 1.0, 2.0),
}
"""What is swept: chat's magnitude over base's; degrees between the two directions; share of base's contexts that chat
leaves for others; magnitude over that of a shared factor."""


@dataclass(frozen=True)
class Factors:
    """All factors; parents stand before their children."""

    unit_ND: Tensor
    """Unit directions."""
    direction_LND: Tensor
    """Each model's direction times its relative magnitude; 0 where the model lacks the factor."""
    gate_LCN: Tensor
    """bool, contexts in which it may fire in each model."""
    class_N: Tensor
    """int64, number in `CLASSES`."""
    effect_N: Tensor
    """See `EFFECTS`."""
    chance_N: Tensor
    """Probability of firing, gates left out (float64)."""
    parent_N: Tensor
    """int64, −1 for none."""
    level_N: Tensor
    """int64, generation: 0 for roots and lone factors."""
    place_N2: Tensor
    """Share of the parent's firing, from and to, in which a child fires; siblings' do not overlap."""
    mean_N: Tensor
    spread_N: Tensor
    """Mean and standard deviation of the magnitude where it fires."""

    def frequency(self) -> Tensor:
        """Probability that the factor fires in either model, [N] float64."""
        return self.chance_N * self.gate_LCN.any(0).double().mean(0)

    def null(self) -> "Factors":
        """The same factors, all of them shared and identical: directions and magnitudes of the model that has them."""
        base_N, chat_N = self.direction_LND.norm(dim=2)
        amplitude_N = torch.where(base_N > 0, base_N, chat_N)
        same_ND = self.unit_ND * amplitude_N[:, None]
        return replace(
            self,
            direction_LND=torch.stack([same_ND, same_ND]),
            gate_LCN=torch.ones_like(self.gate_LCN),
            class_N=torch.zeros_like(self.class_N),
            effect_N=torch.zeros_like(self.effect_N),
        )


def make(design: Design, random: Generator, device: str = "cpu") -> Factors:
    """Draw the factors of a pair; ``device`` spreads them out."""
    parent_N, level_N, place_N2 = families(design)
    chance_N, rank_N = chances(design, parent_N, place_N2, random)
    class_N, effect_N = classes(design, parent_N, level_N, chance_N, random)
    unit_ND = spread_out(design, random, device)
    part_N = rank_N / max(1, design.factors - 1)
    spread_N = (0.5 + 0.5 * torch.randn(design.factors, generator=random)).abs()
    return Factors(
        unit_ND=unit_ND,
        direction_LND=directions(unit_ND, class_N, effect_N, random),
        gate_LCN=gates(design, class_N, effect_N),
        class_N=class_N,
        effect_N=effect_N,
        chance_N=chance_N,
        parent_N=parent_N,
        level_N=level_N,
        place_N2=place_N2,
        mean_N=(5 - part_N).float(),
        spread_N=spread_N,
    )


def spread_out(design: Design, random: Generator, device: str = "cpu", chunk: int = 2048) -> Tensor:
    """Unit directions [N, D] whose cosines are pushed below ``overlap`` in size, as far as the steps go.

    Each step moves a direction away from those it overlaps with too much; with N > D some overlap must stay (Welch's
    bound).
    """
    unit_ND = torch.randn(design.factors, design.width, generator=random).to(device)
    unit_ND /= unit_ND.norm(dim=1, keepdim=True)
    for _ in range(design.overlap_steps):
        push_ND, moved = torch.empty_like(unit_ND), False
        for first in range(0, design.factors, chunk):
            cosine_nN = unit_ND[first : first + chunk] @ unit_ND.T
            cosine_nN.diagonal(first).zero_()
            excess_nN = (cosine_nN.abs() - design.overlap).clamp_min(0) * cosine_nN.sign()
            moved = moved or bool(excess_nN.any())
            push_ND[first : first + chunk] = excess_nN @ unit_ND
        if not moved:
            break
        unit_ND = unit_ND - push_ND
        unit_ND /= unit_ND.norm(dim=1, keepdim=True)
    return unit_ND.cpu()


def families(design: Design) -> tuple[Tensor, Tensor, Tensor]:
    """Parent [N], generation [N], place among the siblings [N, 2]; generation after generation, then lone factors."""
    count, share = design.factors, (1 - design.childless) / design.branching
    parent_N = torch.full((count,), -1)
    level_N = torch.zeros(count, dtype=torch.int64)
    place_N2 = torch.zeros(count, 2)
    above, first = range(design.roots), design.roots
    for level in range(1, design.depth + 1):
        for parent in above:
            for child in range(design.branching):
                number = first + (parent - above.start) * design.branching + child
                parent_N[number], level_N[number] = parent, level
                place_N2[number] = torch.tensor([child * share, (child + 1) * share])
        above = range(first, first + len(above) * design.branching)
        first = above.stop
    return parent_N, level_N, place_N2


def chances(design: Design, parent_N: Tensor, place_N2: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """Firing probability [N] float64 and rank [N]: Zipf's law for roots and lone factors, a share of the parent's else.

    Roots are drawn from the more frequent half, so that their children fire often enough to be learnt.
    """
    top = (parent_N < 0).nonzero().flatten()
    count, roots = len(top), design.roots
    half = max(roots, count // 2)
    first = torch.randperm(half, generator=random)
    rest = torch.cat([first[roots:], torch.arange(half, count)])
    rank_T = torch.cat([first[:roots], rest[torch.randperm(len(rest), generator=random)]])
    most, least = design.frequency
    chance_N = torch.zeros(design.factors, dtype=torch.float64)
    chance_N[top] = (most * (rank_T.double() + 1) ** -design.zipf).clamp_min(least)
    for child in (parent_N >= 0).nonzero().flatten().tolist():
        low, high = place_N2[child].double().tolist()
        chance_N[child] = chance_N[parent_N[child]] * (high - low)
    order = torch.argsort(chance_N, descending=True, stable=True)
    rank_N = torch.empty(design.factors, dtype=torch.int64)
    rank_N[order] = torch.arange(design.factors)
    return chance_N, rank_N


def classes(
    design: Design, parent_N: Tensor, level_N: Tensor, chance_N: Tensor, random: Generator
) -> tuple[Tensor, Tensor]:
    """Class [N] int64 and effect [N]; within a class every effect meets frequent and rare factors."""
    count = design.factors
    class_N = torch.zeros(count, dtype=torch.int64)
    families_ = torch.randperm(design.roots * design.branching ** (design.depth - 1), generator=random)
    leaves = ((level_N == design.depth) & (parent_N >= 0)).nonzero().flatten()
    chosen = leaves.view(-1, design.branching)[families_, 0] if len(leaves) else leaves
    class_N[chosen[: round(design.child_new * count)]] = CLASSES.index("child-new")
    lone = torch.arange(design.hierarchical, count)
    lone = lone[torch.randperm(len(lone), generator=random)]
    first = 0
    for name in CLASSES[1:-1]:
        members = round(getattr(design, name.replace("-", "_")) * count)
        class_N[lone[first : first + members]] = CLASSES.index(name)
        first += members
    effect_N = torch.zeros(count)
    for number, name in enumerate(CLASSES):
        members_ = (class_N == number).nonzero().flatten()
        members_ = members_[torch.argsort(chance_N[members_], descending=True, stable=True)]
        sweep = torch.tensor(EFFECTS[name])
        effect_N[members_] = sweep[torch.arange(len(members_)) % len(sweep)]
    return class_N, effect_N


def directions(unit_ND: Tensor, class_N: Tensor, effect_N: Tensor, random: Generator) -> Tensor:
    """Each model's direction times its relative magnitude, [L, N, D]."""
    side_ND = torch.randn(unit_ND.shape, generator=random)
    side_ND -= (side_ND * unit_ND).sum(1, keepdim=True) * unit_ND
    side_ND /= side_ND.norm(dim=1, keepdim=True)
    is_ = {name: (class_N == number)[:, None] for number, name in enumerate(CLASSES)}
    effect_N1 = effect_N[:, None]
    angle_N1 = torch.deg2rad(effect_N1)
    none_ND = torch.zeros_like(unit_ND)
    base_ND = torch.where(is_["base-only"], effect_N1 * unit_ND, unit_ND)
    base_ND = torch.where(is_["chat-only"] | is_["child-new"], none_ND, base_ND)
    scaled_N1 = is_["rescaled"] | is_["chat-only"] | is_["child-new"]
    chat_ND = torch.where(scaled_N1, effect_N1 * unit_ND, unit_ND)
    chat_ND = torch.where(is_["rotated"], angle_N1.cos() * unit_ND + angle_N1.sin() * side_ND, chat_ND)
    chat_ND = torch.where(is_["base-only"], none_ND, chat_ND)
    return torch.stack([base_ND, chat_ND])


def gates(design: Design, class_N: Tensor, effect_N: Tensor) -> Tensor:
    """Contexts in which a factor may fire, bool [L, C, N]: re-gated factors in half of them, chat's moved on."""
    context_C1 = torch.arange(design.contexts)[:, None]
    half = design.contexts // 2
    regated_N = class_N == CLASSES.index("regated")
    first_N = (effect_N * half).round().long()
    base_CN = ~regated_N | (context_C1 < half)
    chat_CN = ~regated_N | ((context_C1 >= first_N) & (context_C1 < first_N + half))
    return torch.stack([base_CN, chat_CN])
