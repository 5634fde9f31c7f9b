"""Where the tokens of a view stand: the rows they are in, their positions, and how long the rows are."""

import torch
from torch import Tensor

from crossdiff.activations.store import View


def places(view: View) -> tuple[Tensor, Tensor]:
    """(row [N], position [N]) of a view's tokens in stored order, int64, without reading their activations."""
    shards = list(zip(view.activations.tensors, view.kept, strict=True))
    row_N, position_N = (torch.cat([tensors[name][kept] for tensors, kept in shards]) for name in ("row", "position"))
    return row_N.long(), position_N.long()


def lengths(row_R: Tensor, length_R: Tensor, rows: int) -> Tensor:
    """Length of each of ``rows`` rows by its number, int64; 0 of those that are not among ``row_R``."""
    return torch.zeros(rows, dtype=torch.int64).index_copy_(0, row_R.long(), length_R.long())
