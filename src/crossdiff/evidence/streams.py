"""Residual streams of both models on one sequence, and what a model predicts from an edited stream.

Shapes: T positions, L models (0 base, 1 chat), D width, S streams, P chosen positions, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from crossdiff.pair.blocks import read_site, upper

FORWARD_TOKENS = 8192
"""Tokens of one pass through the upper blocks, at most."""
LOGITS = 2**26
"""Logits held at once, at most: 256 MiB in float32."""


@dataclass(frozen=True)
class Site:
    """The two models and the place where their streams are compared."""

    base: PreTrainedModel
    chat: PreTrainedModel
    layer: int
    thresholds: list[float] | None
    """Largest norm of a token that the dictionary was trained on, per model; None if no token was masked."""

    @property
    def device(self) -> torch.device:
        """Where both models are."""
        return self.chat.device

    @torch.no_grad()
    def streams(self, ids: Sequence[int]) -> Tensor:
        """Streams of both models after block ℓ on one unpadded sequence, [T, L, D] in the models' dtype."""
        ids_1T = torch.tensor([list(ids)], device=self.device)
        return torch.stack([read_site(model, self.layer, ids_1T)[0] for model in (self.base, self.chat)], 1)

    def kept(self, x_TLD: Tensor) -> Tensor:
        """Tokens [T] whose norm is ordinary in both models: the dictionary knows no others, and edits none."""
        if self.thresholds is None:
            return torch.ones(len(x_TLD), dtype=torch.bool, device=x_TLD.device)
        limit_L = torch.tensor(self.thresholds, device=x_TLD.device)
        return (x_TLD.float().norm(dim=-1) <= limit_L).all(-1)

    @torch.no_grad()
    def logits(self, model: PreTrainedModel, streams_STD: Tensor, positions_P: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(first stream, logits [s, P, V] float32) for groups of streams run through the upper blocks of ``model``.

        All streams are of one sequence, so nothing is padded. Groups keep memory below about 1 GiB.
        """
        streams, length = streams_STD.shape[:2]
        vocabulary = model.config.get_text_config().vocab_size
        group = max(1, min(FORWARD_TOKENS // length, LOGITS // (len(positions_P) * vocabulary)))
        for first in range(0, streams, group):
            h_sTD = streams_STD[first : first + group].to(model.dtype)
            yield first, upper(model, self.layer, h_sTD, logits_to_keep=positions_P).float()
