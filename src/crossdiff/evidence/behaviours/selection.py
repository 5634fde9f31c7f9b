"""Which latents may be a behaviour's: chosen by gradient attribution on prompts that are not scored later.

score_j = Σ_tokens f_j·⟨v_j, ∂ log p(behaviour's tokens) / ∂h_chat⟩ is, to first order, what the latent's contribution
adds to the log-probability that the chat model gives to its own planted answer.

Shapes: T positions, L models, D width, F latents, N active entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from crossdiff.attribution.directions import contributed, contributions
from crossdiff.attribution.sums import summed
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.streams import FORWARD_TOKENS, Site, alike
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
    prompt_difference_D: Tensor
    """The same over the positions before them that the dictionaries know; zeros if there are none."""


def gradients(site: Site, cases: Sequence[Case], streams: Sequence[Tensor]) -> list[Tensor]:
    """∂ Σ log p(token at each target) / ∂h_chat [T, D] float32 of each case, through the chat model's upper blocks.

    Cases share passes, padded on the right; a case's own sum does not depend on the others. Targets ascend.
    """
    out: list[Tensor] = [torch.empty(0)] * len(cases)
    for chosen in alike([len(case.ids) for case in cases], FORWARD_TOKENS):
        some = [cases[number] for number in chosen]
        h_BTD = pad_sequence([streams[number][:, 1] for number in chosen], batch_first=True).requires_grad_()
        before_BT = torch.zeros(h_BTD.shape[:2], dtype=torch.bool, device=site.device)
        for row, case in enumerate(some):
            before_BT[row, [target - 1 for target in case.targets]] = True
        wanted_N = torch.tensor([case.ids[t] for case in some for t in case.targets], device=site.device)
        with torch.enable_grad():
            log_NV = upper(site.chat, site.layer, h_BTD, logits_to_keep=before_BT).float().log_softmax(-1)
            (slope_BTD,) = torch.autograd.grad(log_NV.gather(1, wanted_N[:, None]).sum(), h_BTD)
        for row, number in enumerate(chosen):
            out[number] = slope_BTD[row, : len(cases[number].ids)].float()
    return out


def material(site: Site, cases: Sequence[Case]) -> Material:
    """Streams, gradients and mean difference of one behaviour's select prompts; cases without it are left out.

    At least one must show it.
    """
    shown = [case for case in cases if case.targets]
    streams = site.streams([case.ids for case in shown])
    pairs = list(zip(shown, streams, strict=True))
    answering = [x_TLD[case.answer - 1 : -1] for case, x_TLD in pairs]
    asking = [x_TLD[: case.answer - 1][site.known(x_TLD)[: case.answer - 1]] for case, x_TLD in pairs]
    return Material(streams, gradients(site, shown, streams), _mean_difference(answering), _mean_difference(asking))


def _mean_difference(parts: Sequence[Tensor]) -> Tensor:
    """Mean of h_chat − h_base [D] float32 over all positions of streams [T, L, D]; zeros if there are none."""
    x_PLD = torch.cat(list(parts)).float()
    return (x_PLD[:, 1] - x_PLD[:, 0]).sum(0) / max(1, len(x_PLD))


def attribute(site: Site, dictionary: Dictionary, seen: Material) -> tuple[Tensor, Tensor]:
    """(score [F], mass Σ f_j·‖v_j‖ [F]) of every latent over a behaviour's select prompts, float32."""
    rows_CD, latents = contributions(dictionary), dictionary.shape[2]
    norm_C = rows_CD.norm(dim=-1)
    score_F, mass_F = torch.zeros_like(norm_C[:latents]), torch.zeros_like(norm_C[:latents])
    for x_TLD, gradient_TD in zip(seen.streams, seen.gradients, strict=True):
        kept_T = site.known(x_TLD)
        token_N, row_N, value_N = contributed(dictionary, dictionary.codes(dictionary.read(x_TLD[kept_T])))
        slope_N = (rows_CD[row_N] * gradient_TD[kept_T][token_N]).sum(-1)
        score_F += summed(value_N * slope_N, row_N % latents, score_F)
        mass_F += summed(value_N * norm_C[row_N], row_N % latents, mass_F)
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
