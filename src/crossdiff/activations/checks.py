"""What must hold before and while activations are read. Each failure is a UserError that says what to change.

Activations that are silently wrong are the commonest fault of such caches: padding that leaks into tokens, rows mixed
up in a batch, ids the model does not know. So a sample is read alone and in a padded batch, and a row of every shard is
read again, before anything is trained on it.
"""

import math
import shutil
from pathlib import Path

import torch
from torch import Tensor

from crossdiff.activations.extract import Models, Rows, padded, read_tokens
from crossdiff.errors import UserError
from crossdiff.pair.load import Which

NAMES: tuple[Which, Which] = ("base", "chat")
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.1}
"""Largest ‖a − b‖ / ‖a‖ of a token (L2) between two ways to batch it: other shapes of a product round in another order.
In bfloat16 that moved a token of SmolLM2-135M by at most 0.020 at block 14 and 0.039 at block 29."""
PAD = 5
"""Positions of padding that the invariance check adds behind its longest row."""


def check_widths(models: Models) -> None:
    """The streams of both models have the same width."""
    widths = [model.config.get_text_config().hidden_size for model in models]
    if len(set(widths)) > 1:
        raise UserError(f"pair: the models' streams have different widths, {widths[0]} and {widths[1]}")


def check_ids(models: Models, rows: Rows) -> None:
    """Every id of the rows is in both vocabularies, and no row is empty."""
    if not len(rows.lengths_R) or not int(rows.lengths_R.min()):
        raise UserError("rows.parquet: it has no rows, or a row without tokens; run the corpus step again")
    largest = int(rows.ids_N.max())
    for name, model in zip(NAMES, models, strict=True):
        vocabulary = model.config.get_text_config().vocab_size
        if largest >= vocabulary:
            row = rows.number_R[torch.searchsorted(rows.starts_R, rows.ids_N.argmax(), right=True) - 1]
            raise UserError(
                f"rows.parquet: row {row} holds token {largest}, but the {name} model's vocabulary ends at"
                f" {vocabulary - 1}; were the rows made for another pair?"
            )


def check_invariance(models: Models, layer: int, rows: Rows, count: int) -> list[float]:
    """A row's stream does not depend on its batch: alone or padded among others, within `TOLERANCE`.

    ``count`` rows are taken, from the shortest to the longest. Gives the largest relative difference for each model.
    """
    order = torch.argsort(rows.lengths_R, stable=True)
    chosen = sorted(set(order[torch.linspace(0, len(order) - 1, count).long()].tolist()))
    ids_BT, mask_BT = padded(rows, chosen, extra=PAD)
    worst = []
    for name, model in zip(NAMES, models, strict=True):
        together = read_tokens(model, layer, ids_BT, mask_BT).split(mask_BT.sum(1).tolist())
        alone = [read_tokens(model, layer, *padded(rows, [row])) for row in chosen]
        moved = [float(relative(a, b).max()) for a, b in zip(alone, together, strict=True)]
        if not_finite := [number for number, change in zip(chosen, moved, strict=True) if not math.isfinite(change)]:
            raise _not_finite(name, f"row {rows.number_R[not_finite[0]]}")
        if not max(moved) <= TOLERANCE[model.dtype]:
            row = rows.number_R[chosen[moved.index(max(moved))]]
            raise UserError(
                f"activations: row {row} reads differently in the {name} model alone and in a padded batch: a token"
                f" moves by {max(moved):.3g} of its norm, {TOLERANCE[model.dtype]:g} is allowed in {model.dtype}."
                " Padding or other rows leak into it; use a model with causal attention, or read rows one by one"
                " (activations.batch_tokens: 1)"
            )
        worst.append(max(moved))
    return worst


def check_finite(shard: dict[str, Tensor]) -> None:
    """No NaN or infinity in a shard; names row and position of the first.

    Norms are taken in float32 before x is stored, so they tell; only float16 has less range than they.
    """
    finite_nL = torch.isfinite(shard["norm"])
    if shard["x"].dtype == torch.float16:
        finite_nL &= torch.isfinite(shard["x"]).all(-1)
    if not bool(finite_nL.all()):
        place, number = (~finite_nL).nonzero()[0].tolist()
        raise _not_finite(
            NAMES[number],
            f"row {shard['row'][place]}, position {shard['position'][place]} (token {shard['token'][place]})",
        )


def _not_finite(name: Which, where: str) -> UserError:
    # The pair step has seen that the weights themselves are finite.
    return UserError(
        f"activations: the {name} model gives values that are not finite (NaN or infinity) on {where};"
        " try pair.dtype: float32"
    )


def check_aligned(models: Models, layer: int, rows: Rows, shard: dict[str, Tensor], row: int) -> None:
    """What a shard holds for ``row``, a place in ``rows``, is what each model gives on that row alone."""
    own = int(rows.number_R[row])
    mine_n = shard["row"] == own
    if not torch.equal(shard["token"][mine_n], rows.ids(row)):
        raise UserError(f"activations: the shard's tokens of row {own} are not those of rows.parquet")
    for number, (name, model) in enumerate(zip(NAMES, models, strict=True)):
        alone_TD = read_tokens(model, layer, *padded(rows, [row])).cpu()
        moved = float(relative(alone_TD, shard["x"][mine_n, number]).max())
        # A float32 model may be stored in bf16, which rounds by up to half its eps.
        allowed = max(TOLERANCE[model.dtype], torch.finfo(shard["x"].dtype).eps)
        if not moved <= allowed:
            raise UserError(
                f"activations: what was stored for row {own} of the {name} model is not what the model gives on that"
                f" row alone (relative difference {moved:.3g}, {allowed:g} allowed)"
            )


def relative(a_TD: Tensor, b_TD: Tensor) -> Tensor:
    """‖a − b‖ / ‖a‖ of each token, float32 [T]."""
    a_TD, b_TD = a_TD.float(), b_TD.float()
    return (a_TD - b_TD).norm(dim=-1) / a_TD.norm(dim=-1).clamp(min=1e-20)


def check_disk(folder: Path, needed: int) -> int:
    """Free bytes where ``folder`` is; UserError if fewer than ``needed``."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"activations: {needed / 1e9:.2f} GB are needed in {folder}, {free / 1e9:.2f} GB are free; make room,"
            " lower corpus.train_tokens and corpus.validation_tokens, or store activations.dtype: int8, or"
            " nothing but a sample with activations.store: stream"
        )
    return free
