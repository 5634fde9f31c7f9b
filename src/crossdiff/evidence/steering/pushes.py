"""Answers while one latent's direction is added to the stream at the site (study_spec §3.8, steering).

    v = d^c / ‖d^c‖ · max_act · scale

added at every position that a dictionary knows, of the prompt and of the answer. Numerics only.

Shapes: R rows, T positions, L models, D width, F latents, S chosen latents.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.edits import Edit
from crossdiff.evidence.generate import greedy
from crossdiff.evidence.streams import Site
from crossdiff.pair.load import Which


@dataclass(frozen=True)
class Push:
    """One way to continue a prompt."""

    prompt: int
    """Its number."""
    latent: int | None
    """None: nothing is added."""
    scale: float


def pushes(prompts: int, latents: Sequence[int], scales: Sequence[float]) -> list[Push]:
    """Every prompt without steering, then under every latent at every scale."""
    pairs = [(None, 0.0), *((latent, scale) for latent in latents for scale in scales)]
    return [Push(prompt, latent, scale) for prompt in range(prompts) for latent, scale in pairs]


def directions(dictionary: Dictionary, largest_F: Tensor, latents: Sequence[int]) -> Tensor:
    """d^c / ‖d^c‖ · max_act [S, D] float32 of each latent, in raw activations.

    ``largest_F``: largest score f·w of each latent, as attribution measures it: in the dictionary's normalised space,
    which is the study's where activations are not normalised.
    """
    index = torch.tensor(list(latents), dtype=torch.long, device=dictionary.decoder.device)
    unit_SD = torch.nn.functional.normalize(dictionary.decoder[-1, index], dim=1)
    scale = dictionary.scale.reshape(-1)[-1]
    return unit_SD * (largest_F.to(unit_SD)[index] / scale)[:, None]


def constant(site: Site, vector_RD: Tensor) -> Edit:
    """The edit that adds each row's own vector at all its tokens of ordinary norm."""

    def apply(x_RTLD: Tensor, row_R: Tensor, answering_RT: Tensor) -> Tensor:
        kept_RT1 = site.kept(x_RTLD)[..., None]
        return kept_RT1 * vector_RD[row_R][:, None]

    return apply


def steered(
    site: Site,
    running: Which,
    prompts: Sequence[list[int]],
    wanted: Sequence[Push],
    vectors: Mapping[int, Tensor],
    limit: int,
    stops: Collection[int],
) -> list[list[int]]:
    """The ``running`` model's greedy answer, of at most ``limit`` tokens, to each wanted prompt under its steering.

    ``prompts``: token ids up to the answer; ``vectors``: `directions` [D] by latent.
    """
    width = site.chat.config.get_text_config().hidden_size
    vector_RD = torch.zeros(len(wanted), width, device=site.device)
    for row, each in enumerate(wanted):
        if each.latent is not None:
            vector_RD[row] = each.scale * vectors[each.latent]
    prefixes = [list(prompts[each.prompt]) for each in wanted]
    edit = constant(site, vector_RD)
    return greedy(site, running, edit, prefixes, [len(ids) for ids in prefixes], [limit] * len(wanted), stops)
