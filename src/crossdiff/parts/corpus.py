"""What both models read."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crossdiff.fields import Count, Name, Seed, Share, Text
from crossdiff.parts import Part


class Rows(Part):
    """Rows of text or conversations: a `datasets` id or local parquet/jsonl files."""

    path: Text
    """`datasets` id, or a local parquet, jsonl or json file (may hold a * pattern)."""
    subset: str | None = None
    """Configuration name of a `datasets` id."""
    split: str = "train"
    """Split to read."""
    revision: str | None = None
    """Revision of a `datasets` id."""
    column: Text
    """Column with plain text, or with a list of {role, content} messages."""

    @property
    def where(self) -> str:
        """Its key in the config, for messages."""
        raise NotImplementedError


class CorpusSource(Rows):
    """Rows that both models read."""

    name: Name
    """Label of its rows: `web`, `chat`, … (`planted` is taken by the planted behaviours)."""
    share: Share = 0.5
    """Its share of the tokens."""
    ill_formed: Literal["refuse", "skip"] = "refuse"
    """Rows that are empty or no proper conversation: stop at the first and name it, or skip and count them."""

    @property
    def where(self) -> str:
        return f"corpus.sources.{self.name}"

    @model_validator(mode="after")
    def _free_name(self) -> "CorpusSource":
        if self.name == "planted":
            raise ValueError("name: `planted` is the label of the planted behaviours; choose another")
        return self


class Corpus(Part):
    """What both models read."""

    sources: Annotated[list[CorpusSource], Field(min_length=1)]
    """Where rows come from."""
    context: Annotated[int, Field(ge=8)] = 1024
    """Longest row in tokens; longer rows are cut."""
    train_tokens: Count = 100_000_000
    """Tokens for training dictionaries, over all sources."""
    validation_tokens: Count = 10_000_000
    """Tokens held out from training."""
    seed: Seed = 0
    """Seed of the split and of the order of rows."""

    @model_validator(mode="after")
    def _shares(self) -> "Corpus":
        total = sum(source.share for source in self.sources)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"sources: the shares must add up to 1, not {total:g}")
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"sources: each needs its own name, got {', '.join(names)}")
        return self
