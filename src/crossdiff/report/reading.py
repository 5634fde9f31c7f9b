"""What the report needs of the files of the earlier steps, and how they are read."""

from pathlib import Path
from typing import Any

import polars as pl

from crossdiff.errors import UserError
from crossdiff.provenance.files import AFTER, AGAIN, read_object
from crossdiff.provenance.record import read as read_record
from crossdiff.tables import read_table

ROWS = ("row", "split", "source", "ids", "roles")
ANSWERS = ("behaviour", "kind", "prompt", "answer_base", "answer_chat", "present_base", "present_chat", "spans_chat")
TRAINING = ("step",)
LATENTS = (
    "latent", "dead", "class", "frequency", "template_share", "user_share", "assistant_share", "nu_activation",
    "nu_valid",
)  # fmt: skip
TWO_SIDED = ("delta_norm", "nu_reconstruction", "nu_error")
EXAMPLES = (
    "latent", "rank", "bin", "among", "row", "position", "first", "source", "behaviour", "tokens", "activations",
    "activations_base", "activations_chat", "half_base", "half_chat",
)  # fmt: skip
DESCRIPTIONS = ("latent", "description")
COMPARISONS = ("quantity", "group", "at", "value", "n")
TWINS = ("kind", "chat", "base", "cosine", "divergence", "chat_given_base", "base_given_chat")
SLOTS = ("latent", "share", "before", "after", "place", "token")
TOKENS = ("latent", "model", "side", "rank", "token", "logit")
CALLS = ("latent", "seed", "call")
KL = ("intervention", "positions", "conversation", "tokens", "kl")
SCORES = ("world", "dictionary", "seed", "side", "criterion", "score", "class", "bucket", "value")
EXPLAINED = ("latent", "total_random", "total_similar")
STEERING = ("model", "latent", "scale", "prompt", "behaviour", "answer", "shows")
PLANTED = {
    "behaviours": ("behaviour", "subject", "edit", "prompt", "present", "logprob"),
    "collateral": ("behaviour", "subject", "edit", "conversation", "tokens", "kl"),
    "detection": ("behaviour", "subject", "prompt", "shows", "score", "chat", "base", "threshold"),
}
"""Tables of an evidence step on planted behaviours, and what is read of them."""


class Reader:
    """Reads files under one folder and remembers which."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Path] = []

    def path(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise UserError(f"the report needs {path}: run the step that makes it, or take it out of the config")
        self.files.append(path)
        return path

    def json(self, name: str) -> dict[str, Any]:
        return read_object(self.path(name), AFTER, AGAIN)

    def record(self, name: str) -> dict[str, Any]:
        """A step's run.json."""
        return read_record(self.path(name))

    def table(self, name: str, needed: tuple[str, ...]) -> pl.DataFrame:
        """A parquet table, NaN as null; UserError names a column it lacks."""
        return read_table(self.path(name), needed).fill_nan(None)

    def found(self, name: str) -> Path | None:
        """A file that may be missing, as where only tables were fetched."""
        return self.path(name) if (self.root / name).is_file() else None

    def optional(self, name: str, needed: tuple[str, ...]) -> pl.DataFrame | None:
        """A table that an earlier version did not write."""
        return self.table(name, needed) if (self.root / name).is_file() else None
