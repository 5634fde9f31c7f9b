"""What the config says of a dictionary that is taken from somewhere instead of being trained."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from crossdiff.dictionaries.recipe import Difference, Kind, Recipe

FormatName = Literal["science-of-finetuning", "ckkissane", "dictionary_learning", "saelens", "sparsify", "crossdiff"]
Factor = Annotated[float, Field(gt=0)]


class Published(BaseModel):
    """A published dictionary. It has no recipe, no training curves, and one run whatever `seeds` says."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, serialize_by_alias=True)

    origin: Annotated[str, Field(alias="from", min_length=1)]
    """Hub id (owner/name), local folder, or local weight file."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    subfolder: str | None = None
    """Folder of the dictionary inside the repository or the local folder."""
    format: FormatName | None = None
    """Who wrote the files; told from the files by default."""
    kind: Kind
    """What it reads: both models (crosscoder), chat − base (diff-sae), or one model. The files do not say it."""
    difference: Difference = "chat - base"
    """Which difference a diff-SAE was trained on; base − chat is turned by the signs of its weights."""
    scales: tuple[Factor, Factor] | Literal["fit"] | None = None
    """What the activations of base and chat are multiplied by, for files that do not keep it (ckkissane): the two
    numbers, or `fit` for √D / mean norm of the training tokens, each model its own."""

    @model_validator(mode="after")
    def _fits_the_kind(self) -> "Published":
        if self.difference != "chat - base" and self.kind != "diff-sae":
            raise ValueError(f"difference is of a diff-sae, not of a {self.kind}; take it out")
        if self.scales is not None and self.kind != "crosscoder":
            raise ValueError(f"scales are of a crosscoder's two models, not of a {self.kind}; take them out")
        return self

    @property
    def models(self) -> int:
        """L: 2 for a crosscoder, 1 for an SAE."""
        return 2 if self.kind == "crosscoder" else 1


def _tag(data: Any) -> str:
    """Which of the two an entry is: it is published if it says where it is `from`."""
    return "published" if isinstance(data, Published) or (isinstance(data, dict) and "from" in data) else "recipe"


Entry = Annotated[Annotated[Recipe, Tag("recipe")] | Annotated[Published, Tag("published")], Discriminator(_tag)]
"""A dictionary of the config: how it is trained, or where it is from."""


def without_null(data: Any) -> Any:
    """The entries of the config but for those that an overlay sets to null."""
    return {name: entry for name, entry in data.items() if entry is not None} if isinstance(data, dict) else data
