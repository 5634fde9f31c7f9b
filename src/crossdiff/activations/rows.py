"""The rows of a corpus as the models read them, and which of them are stored."""

import polars as pl
import torch

from crossdiff.activations.extract import Rows
from crossdiff.errors import UserError
from crossdiff.parts.activations import Activations as Settings

ROWS = ("row", "split", "source", "ids", "roles")
"""Columns of rows.parquet that are needed."""


def read_rows(frame: pl.DataFrame) -> Rows:
    """Ids and roles of rows.parquet as flat tensors."""
    if not frame["row"].equals(pl.Series("row", range(len(frame)), dtype=frame["row"].dtype)):
        raise UserError("rows.parquet: rows are not numbered 0, 1, … in order; run the corpus step again")
    return Rows(
        ids_N=torch.from_numpy(frame["ids"].explode().to_numpy().astype("int32")),
        roles_N=torch.from_numpy(frame["roles"].explode().to_numpy().astype("uint8")),
        lengths_R=torch.from_numpy(frame["ids"].list.len().to_numpy().astype("int64")),
    )


def stored_rows(chosen: Settings, frame: pl.DataFrame) -> torch.Tensor:
    """Rows that are stored, int64 in order: all, or with a stream those held out and the first of the others.

    Rows stand in an order drawn at random, so the first are a fair sample of every source.
    """
    if chosen.store == "disk":
        return torch.arange(len(frame))
    held_out = (frame["split"] != "train").to_torch()
    lengths_R = frame["ids"].list.len().to_torch().long().masked_fill(held_out, 0)
    before_R = torch.cumsum(lengths_R, 0) - lengths_R
    return (held_out | (before_R < chosen.sample_tokens)).nonzero().flatten()
