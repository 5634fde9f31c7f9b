"""What 8 bits cost: the same dictionaries trained from a store in several formats, and measured on the same tokens.

python -m benchmarks.store --activations results/PAIR/activations/manifest.json --json FILE
python -m benchmarks.store --activations … --shards 4 --latents 2304 --steps 200

bfloat16           the store as it is: what all others are compared with
another seed       the same trained with another seed: how far dictionaries differ anyway
int8               `activations.dtype: int8`: base and chat − base, a scale a channel and a token
int8, apart        the same quantiser for base and chat apart
int8, token        base and chat − base with a scale a token alone, about zero

The two last are rounded so and kept in float32 for the test; their bytes a token are what they would take. Dictionaries
of one seed see the same batches, so that their latents are compared one by one. All are measured on the validation
tokens of the store as it is.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import harness
from benchmarks.harness import Row
from crossdiff.activations.disk import bytes_a_token
from crossdiff.activations.places import places
from crossdiff.activations.prefetch import batches_ahead
from crossdiff.activations.quantise import TENSORS, decode, encode
from crossdiff.activations.shards import write_shard
from crossdiff.activations.store import Activations
from crossdiff.attribution.jackknife import row_blocks
from crossdiff.attribution.measure import columns, measure
from crossdiff.attribution.norms import CLASSES
from crossdiff.dictionaries import normalise
from crossdiff.dictionaries.architecture import Dictionary, read
from crossdiff.dictionaries.metrics import validate
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.dictionaries.train import train

PLAIN, OTHER_SEED = "bfloat16", "another seed"
BLOCK = 2048
JACKKNIFE = 20
UNDER = (0.3, 0.6)
"""Thresholds of |ν| under which latents are counted."""
Latents = dict[str, Tensor | list[str] | None]


def apart(x_nLD: Tensor) -> Tensor:
    """Base and chat, each through the quantiser as if it were a base."""
    one = [x_nLD[:, [model, model]] for model in range(2)]
    return torch.stack([back(encode(pair_nLD))[:, 0] for pair_nLD in one], 1)


def back(encoded: dict[str, Tensor]) -> Tensor:
    """What 8 bits give, float32."""
    return decode(encoded["x"], *(encoded[name] for name in TENSORS))


def a_token(x_nLD: Tensor) -> Tensor:
    """Base and chat − base with a scale a token alone."""
    x_nLD = x_nLD.float()
    y_nSD = torch.stack([x_nLD[:, 0], x_nLD[:, 1] - x_nLD[:, 0]], 1)
    scale_nS1 = y_nSD.abs().amax(-1, keepdim=True).clamp_min(1e-30) / 127
    y_nSD = (y_nSD / scale_nS1).round() * scale_nS1
    return torch.stack([y_nSD[:, 0], y_nSD[:, 0] + y_nSD[:, 1]], 1)


FORMATS: dict[str, Callable[[Tensor], dict[str, Tensor]]] = {
    "int8": encode,
    "int8, apart": lambda x_nLD: {"x": apart(x_nLD)},
    "int8, token": lambda x_nLD: {"x": a_token(x_nLD)},
}


def converted(store: Activations, folder: Path, change: Callable[[Tensor], dict[str, Tensor]]) -> Activations:
    """The store with other activations, in shards of its own."""
    folder.mkdir()
    shards = []
    for number, (shard, tensors) in enumerate(zip(store.shards, store.tensors, strict=True)):
        new = {name: tensor.clone() for name, tensor in (tensors | change(tensors["x"])).items()}
        rows = range(shard.first_row, shard.first_row + shard.rows)
        shards.append(write_shard(folder, number, rows, new, "benchmark"))
    return replace(store, folder=folder, shards=shards)


def lost(subject: str, store: Activations, plain: Activations) -> list[Row]:
    """Squared error of a format on the kept validation tokens, as a share of the variance of what is stored."""
    parts = zip(store.view("validation").blocks(BLOCK), plain.view("validation").blocks(BLOCK), strict=True)
    pairs = [torch.stack([found.x_BLD.float(), true.x_BLD.float()]) for found, true in parts]
    found_NSD, true_NSD = (torch.cat([x_NLD, x_NLD[:, 1:] - x_NLD[:, :1]], 1) for x_NLD in torch.cat(pairs, 1))
    error_S = (found_NSD - true_NSD).square().sum((0, 2), dtype=torch.float64)
    spread_S = (true_NSD - true_NSD.mean(0)).square().sum((0, 2), dtype=torch.float64)
    names = ("base", "chat", "chat − base")
    shares = (error_S / spread_S).tolist()
    return [Row("store", subject, f"{name}: variance lost", share) for name, share in zip(names, shares, strict=True)]


def trained(store: Activations, recipe: Recipe, seed: int) -> Dictionary:
    """A dictionary of the training tokens."""
    view = store.view("train", recipe.sources)
    normaliser = normalise.fit(read(recipe.kind, block.x_BLD) for block in view.blocks(BLOCK))
    return train(
        lambda start: (read(recipe.kind, x_BLD) for x_BLD in batches_ahead(view, recipe.batch, seed, start)),
        recipe,
        normaliser,
        seed,
    )[0]


def measured(dictionary: Dictionary, store: Activations) -> tuple[dict[str, float], Latents]:
    """Metrics, and columns of the latent table, on the validation tokens of ``store``."""
    view = store.view("validation")
    metrics = validate(dictionary, (dictionary.read(block.x_BLD) for block in view.blocks(BLOCK)))
    block_R = row_blocks(places(view)[0], len(store.split_R), JACKKNIFE)
    found = measure(dictionary, view.blocks(BLOCK), store.sources, store.source_R.long(), block_R, lambda tokens: None)
    return metrics, columns(dictionary, found)


def rows_of(case: str, subject: str, metrics: dict[str, float], own: Latents, plain: Latents) -> list[Row]:
    """A dictionary's numbers: its metrics, its classes, and its ν beside those of the plain store's dictionary."""
    rows = [Row(case, subject, name, metrics[name]) for name in ("fve", "l0", "dead")]
    if own["class"] is not None:
        rows += [Row(case, subject, f"{name} latents", float(list(own["class"]).count(name))) for name in CLASSES]
        same = [a == b for a, b in zip(own["class"], plain["class"] or [], strict=True)]
        rows.append(Row(case, subject, "latents of the same class", sum(same) / len(same), against=PLAIN))
    name = "nu_reconstruction" if own.get("nu_reconstruction") is not None else "nu_activation"
    a_F, b_F = (torch.as_tensor(latents[name]).double() for latents in (own, plain))
    for limit in UNDER:
        rows.append(Row(case, subject, f"|{name}| < {limit:g}", float((a_F.abs() < limit).sum()), "latents"))
    both_F = a_F.isfinite() & b_F.isfinite()
    ranks = [torch.argsort(torch.argsort(nu_F[both_F])).double() for nu_F in (a_F, b_F)]
    apart_F = (a_F - b_F)[both_F].abs()
    return [
        *rows,
        Row(case, subject, f"{name}, rank correlation", float(torch.corrcoef(torch.stack(ranks))[0, 1]), against=PLAIN),
        Row(case, subject, f"{name}, median |difference|", float(apart_F.median()), against=PLAIN),
    ]


def stored_bytes(subject: str, store: Activations) -> float:
    """Bytes a token of a format; those that are only played at take the same integers."""
    models, width = store.models, store.width
    if subject in FORMATS:
        return float(bytes_a_token(models, width, 1))
    return float(bytes_a_token(models, width, store.tensors[0]["x"].dtype.itemsize))


def main() -> None:
    """Train, measure, report."""
    options = arguments()
    torch.set_num_threads(options.threads)
    store = Activations.open(options.activations)
    store = replace(store, shards=store.shards[: options.shards])
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        stores = {PLAIN: store, OTHER_SEED: store}
        for number, (subject, change) in enumerate(FORMATS.items()):
            stores[subject] = converted(store, Path(folder, str(number)), change)
        rows = [Row("store", name, "bytes a token", stored_bytes(name, store), "B") for name in (PLAIN, *FORMATS)]
        rows = [replace(row, against=PLAIN, ratio=float(row.value or 0) / float(rows[0].value or 1)) for row in rows]
        rows += [row for name in FORMATS for row in lost(name, stores[name], store)]
        for kind in ("crosscoder", "diff-sae"):
            recipe = Recipe(kind=kind, **json.loads(options.recipe) | chosen(options))
            plain: Latents = {}
            for subject, source in stores.items():
                dictionary = trained(source, recipe, options.seed + (subject == OTHER_SEED))
                metrics, latents = measured(dictionary, store)
                plain = plain or latents
                rows += rows_of(kind, subject, metrics, latents, plain)
    harness.report("store", options, rows)


def chosen(options: argparse.Namespace) -> dict[str, int]:
    """What the options say of a recipe."""
    warmup = min(40, options.steps // 4)
    return {"latents": options.latents, "k": options.k, "steps": options.steps, "warmup_steps": warmup,
            "threshold_start": options.steps // 2}  # fmt: skip


def arguments() -> argparse.Namespace:
    """The options."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--activations", type=Path, required=True, help="manifest.json of a bfloat16 or float32 store")
    parser.add_argument("--shards", type=int, help="only the first so many shards")
    parser.add_argument("--folder", type=Path, help="where converted stores are kept meanwhile")
    parser.add_argument("--latents", type=int, default=4608)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--recipe", default='{"lr": 3e-3, "dead_after_tokens": 200000}', help="other keys, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
