"""A synthetic pair: its factors and nuisances, and as many tokens of it as are wanted. Pure, seeded and streamed.

Any part of the stream is drawn from its own number, so that nothing is stored and a part can be drawn again.
B tokens, L models (0 base, 1 chat), N factors, D width, C contexts.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from crossdiff.truth.synthetic.factors import Factors, make
from crossdiff.truth.synthetic.presets import Design


class Draw(NamedTuple):
    """Some tokens."""

    x_BLD: Tensor
    """Activations, float32."""
    fires_BLN: Tensor
    """bool: which factors fire in each model that has them."""
    context_B: Tensor
    """int64."""


class Events(NamedTuple):
    """What happens in some tokens, whatever the two models make of it."""

    context_B: Tensor
    """int64."""
    on_BN: Tensor
    """bool: which factors fire, gates left out."""
    magnitude_BN: Tensor
    """How strongly each factor would fire."""
    noise_BLD: Tensor
    """Standard normal."""


@dataclass(frozen=True)
class World:
    """A pair of models."""

    design: Design
    factors: Factors
    loading_NR: Tensor
    """Low-rank part of the copula, rows of norm √copula_share."""
    offset_LD: Tensor
    """Mean that the models add, the chat model's shift included."""
    drift_DD: Tensor
    """What the chat model's stream is multiplied by: the identity and a map of low rank."""
    noise: float
    """Standard deviation of each coordinate's noise."""

    def effective(self) -> Tensor:
        """Directions [L, N, D] as they come out of the models, the chat model's drift included."""
        base_ND, chat_ND = self.factors.direction_LND
        return torch.stack([base_ND, chat_ND @ self.drift_DD])

    def null(self) -> "World":
        """The pair in which all factors are shared and identical, under the same nuisances."""
        return replace(self, factors=self.factors.null())

    def to(self, device: str) -> "World":
        """The same on another device."""
        moved = {name: value.to(device) for name, value in vars(self.factors).items()}
        mine = {name: getattr(self, name).to(device) for name in ("loading_NR", "offset_LD", "drift_DD")}
        return replace(self, factors=Factors(**moved), **mine)

    def events(self, tokens: int, random: Generator) -> Events:
        """What happens in ``tokens`` tokens, in rows of one context each: the same for a pair and its null, so that one
        drawing serves both."""
        device, design = self.offset_LD.device, self.design
        rows = -(-tokens // design.row)
        context_R = torch.randint(design.contexts, (rows,), generator=random, device=device)
        context_B = context_R.repeat_interleave(design.row)[:tokens]
        on_BN = self.firing(tokens, random)
        magnitude_BN = self.magnitudes(tokens, random)
        shape = tokens, *self.offset_LD.shape
        return Events(context_B, on_BN, magnitude_BN, torch.randn(shape, generator=random, device=device))

    def shown(self, events: Events) -> Draw:
        """What the two models make of it."""
        factors = self.factors
        has_LN = factors.direction_LND.norm(dim=2) > 0
        gate_LBN = events.on_BN & factors.gate_LCN[:, events.context_B]
        clean = [
            (events.magnitude_BN * gate_BN) @ direction_ND
            for gate_BN, direction_ND in zip(gate_LBN, factors.direction_LND, strict=True)
        ]
        x_BLD = torch.stack([clean[0], clean[1] @ self.drift_DD], 1) + self.offset_LD
        x_BLD += self.noise * events.noise_BLD
        return Draw(x_BLD, (gate_LBN & has_LN[:, None]).transpose(0, 1), events.context_B)

    def firing(self, tokens: int, random: Generator) -> Tensor:
        """Which factors fire, gates left out, bool [B, N].

        Roots and lone factors by a Gaussian copula; below them, a parent that fires draws one place, and the child
        whose place it is fires. So siblings exclude each other and every frequency is exactly the one stated.
        """
        factors, device = self.factors, self.offset_LD.device
        count, rank = self.loading_NR.shape
        own = (1 - self.design.copula_share) ** 0.5
        z_BN = own * torch.randn(tokens, count, generator=random, device=device)
        z_BN += torch.randn(tokens, rank, generator=random, device=device) @ self.loading_NR.T
        on_BN = z_BN > torch.special.ndtri(1 - factors.chance_N).float()
        for level in range(1, int(factors.level_N.max()) + 1):
            child_M = (factors.level_N == level).nonzero().flatten()
            parents, which_M = torch.unique(factors.parent_N[child_M], return_inverse=True)
            place_BM = torch.rand(tokens, len(parents), generator=random, device=device)[:, which_M]
            low_M, high_M = factors.place_N2[child_M].T
            here_BM = (place_BM >= low_M) & (place_BM < high_M)
            on_BN[:, child_M] = on_BN[:, factors.parent_N[child_M]] & here_BM
        return on_BN

    def magnitudes(self, tokens: int, random: Generator) -> Tensor:
        """How strongly each factor would fire, [B, N], never below 0; a child's follows its parent's."""
        factors = self.factors
        shape = tokens, len(factors.mean_N)
        normal_BN = torch.randn(shape, generator=random, device=self.offset_LD.device)
        magnitude_BN = torch.relu(factors.mean_N + factors.spread_N * normal_BN)
        for level in range(1, int(factors.level_N.max()) + 1):
            child_M = (factors.level_N == level).nonzero().flatten()
            parent_M = factors.parent_N[child_M]
            magnitude_BN[:, child_M] *= magnitude_BN[:, parent_M] / factors.mean_N[parent_M]
        return magnitude_BN


def generator(seed: int, *part: int, device: str = "cpu") -> Generator:
    """The random numbers of one part of a seed's stream."""
    state = int(np.random.SeedSequence([seed, *part]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator(device).manual_seed(state)


def build(design: Design, seed: int, device: str = "cpu") -> World:
    """The pair of a seed, on ``device``."""
    random = generator(seed, 0)
    factors = make(design, random, device)
    width, rank = design.width, min(design.drift_rank, design.width)
    square_N = factors.frequency() * (factors.mean_N.square() + factors.spread_N.square()).double()
    signal = float((square_N * factors.direction_LND.square().sum(2).mean(0)).sum()) ** 0.5
    loading_NR = torch.randn(design.factors, design.copula_rank, generator=random)
    loading_NR *= design.copula_share**0.5 / loading_NR.norm(dim=1, keepdim=True)
    mean_LD = torch.randn(2, width, generator=random)
    mean_LD /= mean_LD.norm(dim=1, keepdim=True)
    common_D, shift_D = design.offset * signal * mean_LD[0], design.shift * signal * mean_LD[1]
    sides = [torch.linalg.qr(torch.randn(width, rank, generator=random))[0] for _ in range(2)]
    world = World(
        design=design,
        factors=factors,
        loading_NR=loading_NR,
        offset_LD=torch.stack([common_D, common_D + shift_D]),
        drift_DD=torch.eye(width) + design.drift * (width / rank) ** 0.5 * sides[0] @ sides[1].T,
        noise=design.noise**0.5 * signal / width**0.5,
    )
    return world.to(device)
