"""What 8-bit screening misses: entries chosen otherwise than by products in float64, on activations of a study.

python -m benchmarks.screening --activations results/PAIR/activations/manifest.json --json FILE \\
    --dictionaries results/PAIR/dictionaries/crosscoder-batchtopk-seed0 results/PAIR/dictionaries/diff-sae-seed0

For each batch the B · k largest scores are chosen three times: from products in float64, from bf16 factors screened in
8 bits as a training step does it on a CPU, and from the whole bf16 product. --rounds is the number of batches.
"""

from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import harness
from benchmarks.harness import Row
from crossdiff.activations.prefetch import batches_ahead
from crossdiff.activations.store import Activations
from crossdiff.dictionaries import load, screen, select
from crossdiff.dictionaries.architecture import Dictionary, read
from crossdiff.dictionaries.normalise import Normaliser
from crossdiff.dictionaries.optimise import ready
from crossdiff.dictionaries.parameters import Parameters
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.sparse import preactivation
from crossdiff.parsing import parse
from crossdiff.process import prepare

SUBJECTS = ("screened", "bf16 product")


def main(arguments: list[str] | None = None) -> list[Row]:
    """Choose, compare and write."""
    parser = harness.parser(__doc__, rounds=16)
    parser.add_argument("--activations", type=Path, required=True, help="manifest.json of a study's store")
    parser.add_argument("--dictionaries", type=Path, nargs="+", required=True, help="folders of trained dictionaries")
    chosen = parser.parse_args(arguments)
    prepare(chosen.threads, chosen.device)
    view = Activations.open(chosen.activations).view("train")
    rows = []
    for folder in chosen.dictionaries:
        dictionary = load(folder)
        recipe = parse(Recipe, dictionary.about["recipe"], str(folder / "dictionary.json"))
        batches = islice(batches_ahead(view, recipe.batch, chosen.seed, 0, chosen.device), chosen.rounds)
        counts = [differences(dictionary, recipe, x_BLD) for x_BLD in batches]
        wanted = recipe.batch * recipe.k * len(counts)
        for subject, missed in zip(SUBJECTS, zip(*counts, strict=True), strict=True):
            rows.append(Row(folder.name, subject, "chosen otherwise", 100 * sum(missed) / wanted, "%"))
        rows.append(Row(folder.name, "all", "entries", float(wanted)))
    harness.report("screening", chosen, rows)
    return rows


def differences(dictionary: Dictionary, recipe: Recipe, x_BLD: Tensor) -> tuple[int, int]:
    """Entries of a batch that each subject chooses and float64 does not."""
    latents = dictionary.shape[2]
    encoder_FI = dictionary.encoder.permute(2, 0, 1).reshape(latents, -1)
    decoder_FI = dictionary.decoder.transpose(0, 1).reshape(latents, -1)
    plain = Parameters(encoder_FI.contiguous(), dictionary.encoder_bias, decoder_FI, torch.zeros(decoder_FI.shape[1]))
    x_BI = Normaliser(dictionary.mean, dictionary.scale)(read(recipe.kind, x_BLD)).flatten(1)
    weight_F, count = dictionary.score_weight(), len(x_BI) * recipe.k
    score_BF = (x_BI.double() @ encoder_FI.double().T + dictionary.encoder_bias).relu_() * weight_F
    right = set(score_BF.flatten().topk(count).indices.tolist())
    screened = screen.batch_topk(ready(plain, recipe), x_BI, x_BI.bfloat16(), weight_F, count)
    if screened is None:
        raise SystemExit("this CPU, this recipe or this batch is not screened")
    product = select.batch_topk(preactivation(plain, x_BI, recipe), weight_F, count)
    screened_N, product_N = (set(kept.flat_N.tolist()) for kept in (screened, product))
    return len(screened_N - right), len(product_N - right)


if __name__ == "__main__":
    main()
