"""The kinds of values in a study's config."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Text = Annotated[str, Field(min_length=1)]
TAKEN = ("baselines", "interpretation", "layers", "prompts", "steering")
"""Results in evidence/ that are of no dictionary."""
T = TypeVar("T")


def _free(name: str) -> str:
    """A dictionary's name that no other step of the study has in evidence/."""
    if name in TAKEN or name.startswith("steering-"):
        raise ValueError(
            f"{name} is what the study calls results of its own; choose a name other than {', '.join(TAKEN)} that does"
            " not start with steering-"
        )
    return name


def once(found: list[T]) -> list[T]:
    """A list that says nothing twice."""
    if len(set(found)) != len(found):
        raise ValueError("give each once")
    return found


DictionaryName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$"), AfterValidator(_free)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(once)]
