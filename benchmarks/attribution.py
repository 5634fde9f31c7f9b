"""Measuring every latent, beside a plain dense encode of the same tokens.

python -m benchmarks.attribution
python -m benchmarks.attribution --latents 73728 --width 2304 -k 100 --device cuda --tokens 65536

crossdiff     `attribution.measure`: codes, reconstruction, β of all targets in both directions with jackknife blocks,
              use by role and source, top tokens; one pass
plain encode  relu(x'·W + b) of the same tokens, dense, in fp32 and in bf16: what one pass of one target starts with
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import linear

from benchmarks import harness, planted
from benchmarks.harness import Row
from crossdiff.activations.store import Block
from crossdiff.attribution.measure import measure as measure_latents
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.process import prepare

ROW = 256
"""Tokens of a row."""


def dictionary(latents: int, width: int, k: int, x_BLD: Tensor, seed: int) -> Dictionary:
    """A random crosscoder whose threshold leaves about k latents a token active on ``x``."""
    generator = torch.Generator().manual_seed(seed)
    device = x_BLD.device
    decoder_LFD = torch.randn(2, latents, width, generator=generator).to(device)
    decoder_LFD /= decoder_LFD.norm(dim=2, keepdim=True)
    open_ = Dictionary(
        kind="crosscoder",
        score="sum",
        encoder=decoder_LFD.transpose(1, 2).contiguous(),
        encoder_bias=torch.zeros(latents, device=device),
        decoder=decoder_LFD,
        decoder_bias=torch.zeros(2, width, device=device),
        threshold=torch.zeros((), device=device),
        mean=torch.zeros(2, width, device=device),
        scale=torch.ones((), device=device),
    )
    score_N = (open_.encode(x_BLD) * open_.score_weight()).flatten()
    level = score_N.kthvalue(max(1, len(score_N) - k * len(x_BLD))).values
    return Dictionary(**{**vars(open_), "threshold": level})


def blocks(x_NLD: Tensor, batch: int) -> list[Block]:
    """The tokens as stored blocks, rows of 256 tokens."""
    place_N = torch.arange(len(x_NLD), dtype=torch.int32)
    role_N = (place_N % 5).to(torch.uint8)
    parts = (x_NLD.cpu().bfloat16(), place_N // ROW, place_N % ROW, place_N, role_N)
    return [Block(*part) for part in zip(*(part.split(batch) for part in parts), strict=True)]


def plain(crosscoder: Dictionary, x: list[Block], kind: torch.dtype, device: str) -> None:
    """A dense encode of all blocks, weights cast once."""
    encoder_FI = crosscoder.encoder.flatten(0, 1).t().contiguous().to(kind)
    bias_F = crosscoder.encoder_bias.to(kind)
    for block in x:
        normal_BLD = (block.x_BLD.to(device).float() - crosscoder.mean) * crosscoder.scale
        torch.relu_(linear(normal_BLD.flatten(1).to(kind), encoder_FI, bias_F))


def measure(chosen: argparse.Namespace) -> list[Row]:
    """All rows."""
    count = -(-chosen.tokens // chosen.batch)
    x_NLD = torch.cat(planted.batches(count, chosen.batch, 2, chosen.width, chosen.seed))[: chosen.tokens]
    first_BLD = x_NLD[: min(chosen.batch, 512)].to(chosen.device)
    crosscoder = dictionary(chosen.latents, chosen.width, chosen.k, first_BLD, chosen.seed)
    stored = blocks(x_NLD, chosen.batch)
    rows = -(-chosen.tokens // ROW)
    source_R = torch.arange(rows) % 2
    block_R = torch.arange(rows) * chosen.blocks // rows

    def ours() -> None:
        measure_latents(crosscoder, stored, ["web", "chat"], source_R, block_R, lambda tokens: None)

    work: dict[str, Callable[[], object]] = {
        "crossdiff": ours,
        "plain encode fp32": partial(plain, crosscoder, stored, torch.float32, chosen.device),
        "plain encode bf16": partial(plain, crosscoder, stored, torch.bfloat16, chosen.device),
    }
    taken = harness.alternate(work, chosen.rounds, harness.Clock(chosen.device))
    case = f"D={chosen.width} F={chosen.latents} k={chosen.k} B={chosen.batch}"
    against = {"crossdiff": "plain encode fp32,plain encode bf16"}
    result = harness.time_rows(case, "pass", 1, taken, against)
    return result + harness.rate_rows(case, "speed", "tokens/s", chosen.tokens, taken, {})


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measure, print and write."""
    made = harness.parser(__doc__, rounds=5)
    made.add_argument("--tokens", type=int, default=16_384, help="tokens measured (default: %(default)s)")
    made.add_argument("--latents", type=int, default=4608, help="F (default: %(default)s)")
    made.add_argument("--width", type=int, default=576, help="D (default: %(default)s)")
    made.add_argument("-k", type=int, default=32, help="active latents a token, about (default: %(default)s)")
    made.add_argument("--batch", type=int, default=2048, help="tokens a pass (default: %(default)s)")
    made.add_argument("--blocks", type=int, default=20, help="jackknife blocks (default: %(default)s)")
    chosen = made.parse_args(arguments)
    prepare(chosen.threads, chosen.device)
    rows = measure(chosen)
    harness.report("attribution", chosen, rows)
    return rows


if __name__ == "__main__":
    main()
