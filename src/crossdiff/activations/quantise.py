"""Activations in 8 bits: half of bfloat16, and the difference as exact, relative to its size, as the base.

Stored are the base's stream and chat − base, for the difference carries a few per cent of the variance: rounded apart,
base and chat would each bring an error of their own into it. A stream y is kept as integers q with

    y ≈ ŷ = centre + spread · (scale · q),    q in −127..127,

``centre`` and ``spread`` one number a channel, fitted to the shard, and ``scale`` one number a token. So a channel of
large values does not coarsen the others, nor a token of large norm the other tokens, and no value is ever clipped.
On the default study's pair (block 14 of SmolLM2-135M and its planted tune, `python -m benchmarks.store`) the squared
error is 6e-5 of the variance of base and of chat, and 8e-5 of the difference's. The same quantiser for base and chat
apart loses 2e-3 of the difference; a scale a token alone, without centre and spread, loses 2e-3 of base and chat.

n tokens of a shard, B tokens, S stored streams (0 base, 1 chat − base), L models (0 base, 1 chat), D width.
"""

import torch
from torch import Tensor

TENSORS = ("scale", "centre", "spread")
"""Stored beside the integers: scale float32 [n, S]; centre and spread float32 [S, D]."""
LEVELS = 127
SAMPLE = 4096
"""Tokens of a shard, evenly taken, that centre and spread are fitted to."""
CHUNK = 8192
"""Tokens encoded at a time."""
LEAST = 1e-3
"""Least spread of a channel, in terms of the stream's rms spread: one that hardly varies still bears a rare value."""


def encode(x_nLD: Tensor) -> dict[str, Tensor]:
    """x int8 [n, S, D] and `TENSORS` of activations [n, 2, D] of any float type; all must be finite.

    `decode` gives each stored stream back with |y − ŷ| ≤ ½ · scale · spread (and float32 rounding), so the base within
    that of stream 0, chat − base within that of stream 1, and chat within their sum.
    """
    centre_SD, spread_SD = _fit(x_nLD)
    x_nSD = torch.empty(x_nLD.shape, dtype=torch.int8)
    scale_nS = torch.empty(x_nLD.shape[:2])
    for first in range(0, len(x_nLD), CHUNK):
        part = slice(first, first + CHUNK)
        normal_BSD = (_streams(x_nLD[part]) - centre_SD) / spread_SD
        scale_BS = normal_BSD.abs().amax(-1) / LEVELS
        # A token that is all zeros has scale 0; a tiny divisor leaves its integers 0.
        level_BSD = normal_BSD / scale_BS.clamp_min(torch.finfo(torch.float32).tiny).unsqueeze(-1)
        x_nSD[part] = level_BSD.round_().clamp_(-LEVELS, LEVELS).to(torch.int8)
        scale_nS[part] = scale_BS
    return {"x": x_nSD, "scale": scale_nS, "centre": centre_SD, "spread": spread_SD}


def decode(x_BSD: Tensor, scale_BS: Tensor, centre_SD: Tensor, spread_SD: Tensor) -> Tensor:
    """Activations [B, L, D] float32; centre and spread are [S, D], or [B, S, D] for tokens of several shards."""
    y_BSD = x_BSD.float().mul_(scale_BS.unsqueeze(-1)).mul_(spread_SD).add_(centre_SD)
    y_BSD[:, 1] += y_BSD[:, 0]
    return y_BSD


def _streams(x_BLD: Tensor) -> Tensor:
    """base and chat − base, float32 [B, S, D]."""
    x_BLD = x_BLD.float()
    return torch.stack([x_BLD[:, 0], x_BLD[:, 1] - x_BLD[:, 0]], 1)


def _fit(x_nLD: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and spread [S, D] of a shard.

    The median, and the rms distance from it with every token brought to the same norm first: a few tokens of a hundred
    times the usual norm, which are masked later, would else decide both.
    """
    chosen = torch.linspace(0, len(x_nLD) - 1, min(SAMPLE, len(x_nLD))).long()
    y_BSD = _streams(x_nLD[chosen])
    centre_SD = y_BSD.transpose(0, 2).contiguous().median(-1).values.T.contiguous()
    y_BSD -= centre_SD
    norm_BS = torch.linalg.vector_norm(y_BSD, dim=-1)
    y_BSD *= (norm_BS.median(0).values / norm_BS.clamp_min(torch.finfo(torch.float32).tiny)).unsqueeze(-1)
    spread_SD = y_BSD.square().mean(0).sqrt()
    least_S1 = LEAST * spread_SD.square().mean(-1, keepdim=True).sqrt()
    spread_SD = torch.maximum(spread_SD, least_S1)
    return centre_SD, torch.where(spread_SD > 0, spread_SD, torch.ones(()))
