"""Residual streams of both models on one sequence, and what a model predicts from an edited stream.

Shapes: T positions, L models (0 base, 1 chat), D width, S streams, P chosen positions, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from crossdiff.pair.blocks import read_site, upper
from crossdiff.pair.load import Pair

FORWARD_TOKENS = 2048
"""Tokens of one pass, at most: a bf16 pass of a 135M model holds nearly 1 MB a token on CPU."""
LOGITS = 2**26
"""Logits held at once, at most: 256 MiB in float32."""


def alike(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Numbers of the sequences in groups of like length, each of at most ``tokens`` once padded (or a single one)."""
    groups: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or (len(groups[-1]) + 1) * lengths[number] > tokens:
            groups.append([])
        groups[-1].append(number)
    return groups


def padded(sequences: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """The sequences as rows [B, T] int64, padded on the right with zeros."""
    ids_BT = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.int64)
    for row, ids in enumerate(sequences):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
    return ids_BT.to(device)


@dataclass(frozen=True)
class Site:
    """The two models and the place where their streams are compared."""

    base: PreTrainedModel
    chat: PreTrainedModel
    layer: int
    thresholds: list[float] | None
    """Largest norm of a token that the dictionary was trained on, per model; None if no token was masked."""
    skip_first: int = 0
    """Tokens at the start of each sequence that the dictionary was not trained on."""

    @staticmethod
    def of(models: Pair, manifest: Mapping[str, Any], device: str) -> "Site":
        """Both models of a pair, at the site and with the thresholds of its activations' manifest."""
        both = models.model("base", device), models.model("chat", device)
        return Site(*both, manifest["layer"], manifest["thresholds"], manifest.get("skip_first", 0))

    def model(self, which: str) -> PreTrainedModel:
        """The model called "base" or "chat"."""
        return self.chat if which == "chat" else self.base

    @property
    def device(self) -> torch.device:
        """Where both models are."""
        return self.chat.device

    @torch.no_grad()
    def streams(self, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
        """Streams of both models after block ℓ on each sequence, [T, L, D] in the models' dtype.

        Sequences of like length share a pass, padded on the right: what follows a token does not reach it.
        """
        out: list[Tensor] = [torch.empty(0)] * len(sequences)
        for chosen in alike([len(ids) for ids in sequences], FORWARD_TOKENS):
            ids_BT = padded([sequences[number] for number in chosen], self.device)
            both = [read_site(model, self.layer, ids_BT) for model in (self.base, self.chat)]
            for row, number in enumerate(chosen):
                out[number] = torch.stack([h_BTD[row, : len(sequences[number])] for h_BTD in both], 1)
        return out

    def kept(self, x_TLD: Tensor) -> Tensor:
        """Tokens [T], or [R, T] of several streams, whose norm is ordinary in both models: the dictionary knows no
        others, and edits none."""
        if self.thresholds is None:
            return torch.ones(x_TLD.shape[:-2], dtype=torch.bool, device=x_TLD.device)
        limit_L = torch.tensor(self.thresholds, device=x_TLD.device)
        return (x_TLD.float().norm(dim=-1) <= limit_L).all(-1)

    def known(self, x_TLD: Tensor) -> Tensor:
        """Tokens [T] of a whole sequence that the dictionary knows: past the skipped start, and of ordinary norm."""
        return self.kept(x_TLD) & self.past_start(torch.arange(len(x_TLD), device=x_TLD.device))

    def past_start(self, position_T: Tensor) -> Tensor:
        """Which positions of a sequence lie past the skipped start."""
        return position_T >= self.skip_first

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
