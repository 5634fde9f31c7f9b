"""What can be read off a prompt before its answer: latents' codes and projections, at its last positions.

A reading is a number of a pair of streams (base, chat). Beside it stands the same number with the base's stream in the
place of chat's. Their difference is what the chat model's stream adds to what the base alone would tell: chat minus
base, defined for every kind of dictionary alike. A dictionary of differences reads nothing off the base by itself.

Shapes: N prompts, P last positions, L models, D width, F latents, C readings, V directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from crossdiff.attribution.sums import summed
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.evidence.kl.divergence import Predicted
from crossdiff.evidence.streams import FORWARD_TOKENS, Site, alike
from crossdiff.pair.blocks import upper

LAST = 3
"""Positions at the end of a prompt that are read: the last one predicts the answer's first token."""


@dataclass(frozen=True)
class Prompt:
    """A prompt up to the header of its answer."""

    behaviour: str
    number: int
    """Row of answers.parquet."""
    select: bool
    """Whether readings are chosen on it, or it is scored."""
    shows: bool
    """Whether the tuned model's answer shows the behaviour; a control's does not."""
    ids: list[int]


@dataclass(frozen=True, eq=False)
class Reading:
    """Candidate readings [N, C] float32, mean over the last positions."""

    pair_NC: Tensor
    """Of base and chat."""
    base_NC: Tensor
    """With base in chat's place."""

    @property
    def added_NC(self) -> Tensor:
        """Chat minus base."""
        return self.pair_NC - self.base_NC


def ends(streams: Sequence[Tensor]) -> Tensor:
    """The last positions [N, P, L, D] of prompts' streams [T, L, D]."""
    return torch.stack([x_TLD[-LAST:] for x_TLD in streams])


def of_latents(site: Site, dictionary: Dictionary, x_NPLD: Tensor) -> Reading:
    """Codes of all latents (C = F); positions of unusual norm, which the dictionary does not know, read 0."""
    twice_NPLD = x_NPLD[:, :, :1].expand_as(x_NPLD)
    return Reading(_codes(site, dictionary, x_NPLD), _codes(site, dictionary, twice_NPLD))


def _codes(site: Site, dictionary: Dictionary, x_NPLD: Tensor) -> Tensor:
    prompts, places = x_NPLD.shape[:2]
    x_BLD = x_NPLD.flatten(0, 1)
    kept_B = site.kept(x_BLD)
    token_E, latent_E, value_E = dictionary.codes(dictionary.read(x_BLD[kept_B]))
    prompt_E = kept_B.nonzero().flatten()[token_E] // places
    out_NF = torch.zeros(prompts, dictionary.decoder.shape[1], device=x_NPLD.device)
    return summed(value_E / places, prompt_E * out_NF.shape[1] + latent_E, out_NF)


def of_directions(site: Site, directions_VD: Tensor, x_NPLD: Tensor) -> Reading:
    """⟨u, h⟩ along each direction (C = V) in the chat model, and in the base."""
    kept_NP1 = site.kept(x_NPLD)[..., None]
    along_NLV = (x_NPLD.float() @ directions_VD.T * kept_NP1[..., None]).mean(1)
    return Reading(along_NLV[:, 1], along_NLV[:, 0])


@torch.no_grad()
def of_kl(site: Site, streams: Sequence[Tensor]) -> Reading:
    """KL(p_chat ‖ p_base) in nats at the last positions (C = 1); 0 with base in chat's place.

    ``streams`` [T, L, D] are of whole prompts; those of like length share a pass.
    """
    pair_NC = torch.zeros(len(streams), 1, device=site.device)
    for chosen in alike([len(x_TLD) for x_TLD in streams], FORWARD_TOKENS):
        x_BTLD = pad_sequence([streams[number] for number in chosen], batch_first=True)
        length_B = torch.tensor([len(streams[number]) for number in chosen], device=site.device)[:, None]
        place_T = torch.arange(x_BTLD.shape[1], device=site.device)
        last_BT = (place_T >= length_B - LAST) & (place_T < length_B)
        base_RV, chat_RV = (
            upper(model, site.layer, x_BTLD[:, :, side], logits_to_keep=last_BT).float()
            for side, model in enumerate((site.base, site.chat))
        )
        pair_NC[chosen, 0] = Predicted(chat_RV).divergence(base_RV).view(len(chosen), LAST).mean(1)
    return Reading(pair_NC, torch.zeros_like(pair_NC))
