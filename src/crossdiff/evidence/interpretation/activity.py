"""On which texts latents are active: a text is a run of tokens of a row, all of one length but a row's last.

Shapes: B tokens, C texts, S chosen latents, R rows, F latents, K neighbours.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from crossdiff.activations.store import Block
from crossdiff.attribution.directions import subset
from crossdiff.dictionaries.architecture import Dictionary


@dataclass(frozen=True)
class Texts:
    """The texts that some rows are cut into."""

    tokens: int
    """Length of a text."""
    row_C: Tensor
    first_C: Tensor
    """Position of its first token in its row."""
    starts_R: Tensor
    """Number of each row's first text, by the row's number."""

    @staticmethod
    def of(lengths_R: Tensor, tokens: int) -> "Texts":
        """Rows of these lengths (0 leaves a row out) cut into texts of ``tokens`` tokens."""
        count_R = (lengths_R + tokens - 1) // tokens
        starts_R = torch.cumsum(count_R, 0) - count_R
        row_C = torch.repeat_interleave(torch.arange(len(lengths_R)), count_R)
        return Texts(tokens, row_C, (torch.arange(len(row_C)) - starts_R[row_C]) * tokens, starts_R)

    def number(self, row_B: Tensor, position_B: Tensor) -> Tensor:
        """The text that each token is in, int64 [B]."""
        return self.starts_R[row_B] + position_B // self.tokens


def activity(dictionary: Dictionary, latents_S: Tensor, blocks: Iterable[Block], texts: Texts) -> Tensor:
    """Largest activity (code × score weight) of each latent in each text, [C, S] float32 on the CPU; 0 where silent."""
    device = dictionary.encoder.device
    part = subset(dictionary, latents_S.to(device))
    found_CS = torch.zeros(len(texts.row_C), len(latents_S), device=device)
    for block in blocks:
        active_BS = part.encode(part.read(block.x_BLD.to(device).float())) * part.score_weight()
        number_B = texts.number(block.row_B.long(), block.position_B.long()).to(device)
        found_CS.scatter_reduce_(0, number_B[:, None].expand_as(active_BS), active_BS.float(), "amax")
    return found_CS.cpu()


def nearest(dictionary: Dictionary, latents_S: Tensor, alive_F: Tensor, count: int) -> Tensor:
    """The live latents whose decoder rows (the chat model's, of two) are most like each live latent's, [S, K] int64.

    K is ``count``, or the number of other live latents where that is smaller.
    """
    rows_FD = normalize(dictionary.decoder[-1].float().cpu(), dim=-1)
    cosine_SF = rows_FD[latents_S] @ rows_FD.T
    cosine_SF[:, ~alive_F] = -torch.inf
    cosine_SF[torch.arange(len(latents_S)), latents_S] = -torch.inf
    return cosine_SF.topk(min(count, int(alive_F.sum()) - 1), dim=1).indices
