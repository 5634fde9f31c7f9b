"""Which latents may be a behaviour's: chosen by gradient attribution on prompts that are not scored later.

score_j = Σ_tokens f_j·⟨v_j, ∂ log p(behaviour's tokens) / ∂h_chat⟩ is, to first order, what the latent's contribution
adds to the log-probability that the chat model gives to its own planted answer.

Shapes: T positions, L models, D width, F latents, N active entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crossdiff.attribution.directions import contribution
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.streams import Site
from crossdiff.pair.blocks import upper

NEIGHBOURS = 10
"""Latents of nearest mass that a matched random latent is drawn from."""


@dataclass(frozen=True)
class Case:
    """A prompt of a behaviour with the tuned model's answer, tokenised as one conversation."""

    behaviour: str
    prompt: int
    """Row of answers.parquet."""
    ids: list[int]
    """Prompt and tuned answer, up to the answer's last token."""
    answer: int
    """Position of the answer's first token."""
    targets: list[int]
    """Positions of the answer's tokens that show the behaviour; [] if it does not."""
    base_answer: list[int]
    """Tokens of the base's own answer."""


@dataclass(frozen=True, eq=False)
class Material:
    """What one behaviour's select prompts show, whatever the dictionary."""

    streams: list[Tensor]
    """Streams [T, L, D] of both models on each prompt with its answer."""
    gradients: list[Tensor]
    """∂ log p(behaviour's tokens) / ∂h_chat [T, D] float32 on each."""
    difference_D: Tensor
    """Mean of h_chat − h_base over the positions that predict answer tokens, float32."""


def gradient(site: Site, chat_TD: Tensor, ids: Sequence[int], targets: Sequence[int]) -> Tensor:
    """∂ Σ log p(token at each target) / ∂h [T, D] float32, through the chat model's upper blocks."""
    with torch.enable_grad():
        h_1TD = chat_TD[None].detach().clone().requires_grad_()
        at_P = torch.tensor(targets, device=chat_TD.device)
        logits_PV = upper(site.chat, site.layer, h_1TD, logits_to_keep=at_P - 1)[0].float()
        wanted_P = torch.tensor(ids, device=chat_TD.device)[at_P]
        logits_PV.log_softmax(-1).gather(1, wanted_P[:, None]).sum().backward()
    assert h_1TD.grad is not None
    return h_1TD.grad[0].float()


def material(site: Site, cases: Sequence[Case]) -> Material:
    """Streams, gradients and mean difference of one behaviour's select prompts; cases that do not show it are left out.

    At least one must show it.
    """
    shown = [case for case in cases if case.targets]
    streams = [site.streams(case.ids) for case in shown]
    gradients = [gradient(site, x_TLD[:, 1], c.ids, c.targets) for c, x_TLD in zip(shown, streams, strict=True)]
    answering = [x_TLD[c.answer - 1 : -1].float() for c, x_TLD in zip(shown, streams, strict=True)]
    x_PLD = torch.cat(answering)
    return Material(streams, gradients, (x_PLD[:, 1] - x_PLD[:, 0]).mean(0))


def attribute(site: Site, dictionary: Dictionary, seen: Material) -> tuple[Tensor, Tensor]:
    """(score [F], mass Σ f_j·‖v_j‖ [F]) of every latent over a behaviour's select prompts, float32."""
    rows_FD = contribution(dictionary)
    norm_F = rows_FD.norm(dim=-1)
    score_F, mass_F = torch.zeros_like(norm_F), torch.zeros_like(norm_F)
    for x_TLD, gradient_TD in zip(seen.streams, seen.gradients, strict=True):
        kept_T = site.kept(x_TLD)
        token_N, latent_N, value_N = dictionary.codes(dictionary.read(x_TLD[kept_T]))
        slope_N = (rows_FD[latent_N] * gradient_TD[kept_T][token_N]).sum(-1)
        score_F.index_add_(0, latent_N, value_N * slope_N)
        mass_F.index_add_(0, latent_N, value_N * norm_F[latent_N])
    return score_F, mass_F


def best(score_F: Tensor, count: int) -> list[int]:
    """The latents of highest positive score, at most ``count``, best first."""
    order = torch.argsort(score_F, descending=True, stable=True)[:count]
    return [latent for latent in order.tolist() if score_F[latent] > 0]


def matched(mass_F: Tensor, chosen: Sequence[int], taken: set[int], generator: torch.Generator) -> list[int]:
    """A random live latent for each chosen one, of nearly the same mass Σ f·‖v‖; none twice, none of ``taken``.

    Each is drawn from the ``NEIGHBOURS`` free latents whose mass is nearest on a log scale; fewer where fewer are live.
    """
    out: list[int] = []
    log_F = mass_F.log()
    for latent in chosen:
        free_F = mass_F > 0
        free_F[[*taken, *out]] = False
        distance_F = torch.where(free_F, (log_F - log_F[latent]).abs(), torch.inf)
        near = torch.argsort(distance_F, stable=True)[: min(NEIGHBOURS, int(free_F.sum()))]
        if len(near):
            out.append(int(near[torch.randint(len(near), (1,), generator=generator)]))
    return out
