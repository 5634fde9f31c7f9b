"""The study's dictionaries on a synthetic pair, by the code that trains and measures them on real activations.

B tokens, L models, D width, N factors, F latents.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from crossdiff.activations.store import Block
from crossdiff.attribution.measure import Column, columns, measure
from crossdiff.attribution.usage import ROLES
from crossdiff.dictionaries import normalise
from crossdiff.dictionaries.architecture import Dictionary, read
from crossdiff.dictionaries.metrics import validate
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.train import Trainer
from crossdiff.truth.synthetic.presets import Preset
from crossdiff.truth.synthetic.world import Draw, Events, World, generator

FIT, TRAIN, MEASURE = 1, 2, 3
"""Parts of a seed's stream; nothing that is measured was trained on."""
MEASURED = 2048
"""Tokens of a batch that is measured."""
TEXT = 4
"""Role of every token."""


def draws(world: World, seed: int, part: int, tokens: int, batch: int) -> Iterator[Draw]:
    """A part of the stream, a batch at a time."""
    return (world.shown(events) for events in happenings(world, seed, part, tokens, batch))


def happenings(world: World, seed: int, part: int, tokens: int, batch: int) -> Iterator[Events]:
    """What happens in a part of the stream, a batch at a time; the same for a pair and its null."""
    device = str(world.offset_LD.device)
    for number, first in enumerate(range(0, tokens, batch)):
        yield world.events(min(batch, tokens - first), generator(seed, part, number, device=device))


def train(
    worlds: dict[str, World], recipes: dict[str, Recipe], preset: Preset, seed: int, on_step: Callable[[int], object]
) -> dict[tuple[str, str], Dictionary]:
    """All dictionaries on all worlds of a seed, by (world, dictionary), trained side by side on one stream that never
    repeats."""
    trainers = {}
    for (label, world), (name, recipe) in product(worlds.items(), recipes.items()):
        sample = (read(recipe.kind, draw.x_BLD) for draw in draws(world, seed, FIT, preset.sample, MEASURED))
        fitted = normalise.fit(sample) if recipe.normalise else None
        width = world.design.width
        normaliser = fitted or normalise.identity(recipe.models, width).to(_device(world))
        trainers[label, name] = Trainer(recipe, normaliser, seed)
    any_of = next(iter(worlds.values()))
    for events in happenings(any_of, seed, TRAIN, preset.steps * preset.batch, preset.batch):
        shown = {label: world.shown(events) for label, world in worlds.items()}
        for (label, _), trainer in trainers.items():
            trainer.learn(read(trainer.recipe.kind, shown[label].x_BLD))
            on_step(1)
    return {place: trainer.outcome({})[0] for place, trainer in trainers.items()}


def _device(world: World) -> str:
    return str(world.offset_LD.device)


def fit(dictionary: Dictionary, world: World, preset: Preset, seed: int) -> dict[str, float]:
    """FVE and L0 on fresh tokens."""
    fresh = draws(world, seed, MEASURE, preset.measured, MEASURED)
    found = validate(dictionary, (dictionary.read(draw.x_BLD) for draw in fresh))
    return {name: found[name] for name in ("fve", "l0")}


@dataclass
class Firing:
    """How latents and factors fire together."""

    both_FN: Tensor
    """Tokens on which both fire."""
    latent_F: Tensor
    factor_N: Tensor

    def f1(self) -> Tensor:
        """F1 of each latent as a detector of each factor, [F, N]; 0 where neither ever fires."""
        return 2 * self.both_FN / (self.latent_F[:, None] + self.factor_N).clamp_min(1)


def measured(dictionary: Dictionary, world: World, preset: Preset, seed: int) -> tuple[dict[str, Column], Firing]:
    """Attribution's columns of every latent on fresh tokens, and how they fire with the factors.

    A factor counts as firing where it fires in a model that the dictionary reads.
    """
    design, device = world.design, _device(world)
    rows = -(-MEASURED // design.row)
    total = -(-preset.measured // MEASURED) * rows
    source_R = torch.zeros(total, dtype=torch.int64)
    block_R = torch.arange(total) * preset.blocks // total
    latents = dictionary.shape[2]
    firing = Firing(
        torch.zeros(latents, design.factors, device=device),
        torch.zeros(latents, device=device),
        torch.zeros(design.factors, device=device),
    )

    def blocks() -> Iterator[Block]:
        for number, draw in enumerate(draws(world, seed, MEASURE, preset.measured, MEASURED)):
            codes_BF = (dictionary.encode(dictionary.read(draw.x_BLD)) > 0).float()
            factor_BN = seen(dictionary, draw.fires_BLN).float()
            firing.both_FN += codes_BF.T @ factor_BN
            firing.latent_F += codes_BF.sum(0)
            firing.factor_N += factor_BN.sum(0)
            row_B = number * rows + torch.arange(len(draw.x_BLD)) // design.row
            source_R[row_B] = draw.context_B.cpu()
            none_B = torch.zeros_like(row_B)
            yield Block(draw.x_BLD, row_B, torch.arange(len(row_B)) % design.row, none_B, none_B + TEXT)

    contexts = [f"context{number}" for number in range(design.contexts)]
    found = columns(dictionary, measure(dictionary, blocks(), contexts, source_R, block_R, lambda tokens: None))
    return {name: column for name, column in found.items() if name.partition("_")[0] not in ROLES}, firing


def seen(dictionary: Dictionary, fires_BLN: Tensor) -> Tensor:
    """Where each factor fires in a model that the dictionary reads, bool [B, N]."""
    if dictionary.kind in ("chat-sae", "base-sae"):
        return fires_BLN[:, int(dictionary.kind == "chat-sae")]
    return fires_BLN.any(1)
