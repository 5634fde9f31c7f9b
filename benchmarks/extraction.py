"""Reading both models' activations, beside the bare truncated forward of the same batches, and nnsight.

python -m benchmarks.extraction                                a random pair of SmolLM2-135M's shape
python -m benchmarks.extraction --base DIR --chat DIR --layer 13 --device cuda --batch-tokens 32768 --rows 2048

bare forward   the lower blocks alone, both models, the same padded ids made before; no hook, no mask, nothing kept
crossdiff      `extract`: batches, forward to the site, padding dropped, norms, tokens put in their place
stored         the same, then checked for finite numbers and written as a shard with its hash
nnsight        the same batches traced, the block's output saved, padding dropped; "stopped" ends the trace there
"""

import argparse
import copy
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from benchmarks import harness
from benchmarks.hardware import installed
from benchmarks.harness import Row
from crossdiff.activations import checks
from crossdiff.activations.extract import Rows, batch_plan, extract, padded
from crossdiff.activations.shards import write_shard
from crossdiff.pair.blocks import decoder, decoder_layers
from crossdiff.process import prepare

Batch = tuple[Tensor, Tensor]
"""Token ids [B, T] and mask [B, T] on the device."""
BARE = "bare forward"


def random_pair(layers: int, width: int, vocabulary: int, seed: int) -> list[PreTrainedModel]:
    """Two random bf16 Llamas in the proportions of SmolLM2-135M (which is 30 blocks of width 576)."""
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=width * 8 // 3, num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64), num_key_value_heads=max(1, width // 192),
        max_position_embeddings=8192, tie_word_embeddings=True,
    )  # fmt: skip
    models = []
    for number in range(2):
        torch.manual_seed(seed + number)
        models.append(AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval())
    return models


def lengths(rows: int, longest: int, seed: int) -> Tensor:
    """Row lengths as a chat-and-web corpus cut at ``longest`` has them: half whole, half spread over shorter ones."""
    generator = torch.Generator().manual_seed(seed)
    short_R = (longest * (0.1 + 0.9 * torch.rand(rows, generator=generator))).long()
    return torch.where(torch.rand(rows, generator=generator) < 0.5, longest, short_R)


def random_rows(rows: int, longest: int, vocabulary: int, seed: int) -> Rows:
    """Rows of random ids."""
    lengths_R = lengths(rows, longest, seed)
    tokens = int(lengths_R.sum())
    ids_N = torch.randint(3, vocabulary, (tokens,), dtype=torch.int32, generator=torch.Generator().manual_seed(seed))
    return Rows(ids_N, torch.full((tokens,), 4, dtype=torch.uint8), lengths_R)


def truncated(model: PreTrainedModel, layer: int) -> nn.Module:
    """The model's own decoder with the blocks up to the site alone, and no final norm; weights are shared."""
    lower = copy.copy(decoder(model))
    lower._modules = dict(lower._modules)
    lower.layers = nn.ModuleList(list(decoder_layers(model))[: layer + 1])
    lower.norm = nn.Identity()
    return lower


@torch.inference_mode()
def bare(lower: list[nn.Module], batches: list[Batch]) -> None:
    """Both lower halves on all batches."""
    for ids_BT, _ in batches:
        for half in lower:
            half(input_ids=ids_BT, use_cache=False)


def ours(models: list[PreTrainedModel], layer: int, rows: Rows, batch_tokens: int) -> dict[str, Tensor]:
    """A shard of all rows."""
    every = range(len(rows.lengths_R))
    return extract(models, layer, rows, every, batch_tokens, torch.bfloat16, lambda tokens: None)


def stored(models: list[PreTrainedModel], layer: int, rows: Rows, batch_tokens: int, folder: Path) -> None:
    """A shard of all rows, checked and written."""
    tensors = ours(models, layer, rows, batch_tokens)
    checks.check_finite(tensors)
    write_shard(folder, 0, range(len(rows.lengths_R)), tensors, "benchmark")


def traced(models: list[PreTrainedModel], layer: int, batches: list[Batch], stop: bool) -> list[Tensor]:
    """The same layer's output of all batches by nnsight, padding dropped, bf16, in host memory."""
    from nnsight import NNsight

    found = []
    for model in [NNsight(model) for model in models]:
        for ids_BT, mask_BT in batches:
            with (
                torch.inference_mode(),
                model.trace(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False) as tracer,
            ):
                h_BTD = model.model.layers[layer].output.save()
                if stop:
                    tracer.stop()
            h_BTD = h_BTD[0] if isinstance(h_BTD, tuple) else h_BTD
            found.append(h_BTD[mask_BT.bool()].to(torch.bfloat16).cpu())
    return found


def measure(chosen: argparse.Namespace) -> list[Row]:
    """All rows."""
    if chosen.base and chosen.chat:
        load = partial(AutoModelForCausalLM.from_pretrained, dtype=torch.bfloat16)
        models = [load(folder).eval() for folder in (chosen.base, chosen.chat)]
    else:
        models = random_pair(chosen.layers, chosen.width, chosen.vocabulary, chosen.seed)
    models = [model.to(chosen.device) for model in models]
    shape = models[0].config.get_text_config()
    rows = random_rows(chosen.rows, chosen.context, shape.vocab_size, chosen.seed)
    plan = batch_plan(rows.lengths_R, range(chosen.rows), chosen.batch_tokens)
    made = [padded(rows, batch) for batch in plan]
    batches = [(ids_BT.to(chosen.device), mask_BT.long().to(chosen.device)) for ids_BT, mask_BT in made]
    case = (
        f"{shape.num_hidden_layers} blocks of {shape.hidden_size}, site {chosen.layer}, {chosen.batch_tokens} a batch"
    )
    lower = [truncated(model, chosen.layer) for model in models]
    missing = [] if installed("nnsight") else [harness.absent(case, "nnsight", "speed", "not installed")]
    with tempfile.TemporaryDirectory() as folder:
        work: dict[str, Callable[[], object]] = {
            BARE: partial(bare, lower, batches),
            "crossdiff": partial(ours, models, chosen.layer, rows, chosen.batch_tokens),
            "crossdiff stored": partial(stored, models, chosen.layer, rows, chosen.batch_tokens, Path(folder)),
        }
        if not missing:
            work["nnsight"] = partial(traced, models, chosen.layer, batches, False)
            work["nnsight stopped"] = partial(traced, models, chosen.layer, batches, True)
        taken = harness.alternate(work, chosen.rounds, harness.Clock(chosen.device))
    against = dict.fromkeys(work, BARE) | {"crossdiff": f"{BARE},nnsight,nnsight stopped", BARE: ""}
    return missing + harness.rate_rows(case, "speed", "pairs/s", len(rows.ids_N), taken, against)


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = harness.parser(__doc__, rounds=5)
    made.set_defaults(threads=min(2, os.cpu_count() or 1))
    made.add_argument("--base", help="folder of a real base model (with --chat)")
    made.add_argument("--chat", help="folder of its tuned twin")
    made.add_argument("--layer", type=int, default=14, help="the site (default: %(default)s)")
    made.add_argument("--layers", type=int, default=30, help="blocks of the random models (default: %(default)s)")
    made.add_argument("--width", type=int, default=576, help="their width (default: %(default)s)")
    made.add_argument("--vocabulary", type=int, default=49_152, help="their vocabulary (default: %(default)s)")
    made.add_argument("--rows", type=int, default=96, help="rows a round (default: %(default)s)")
    made.add_argument("--context", type=int, default=256, help="longest row in tokens (default: %(default)s)")
    made.add_argument("--batch-tokens", type=int, default=4096, help="tokens a forward (default: %(default)s)")
    return made


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measure, print and write."""
    chosen = options().parse_args(arguments)
    prepare(chosen.threads, chosen.device)
    rows = measure(chosen)
    harness.report("extraction", chosen, rows)
    return rows


if __name__ == "__main__":
    main()
