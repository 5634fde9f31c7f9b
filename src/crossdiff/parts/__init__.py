"""The parts of a study's config, a file each: a step reads the files of its own parts, and reruns for those alone."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base of all parts: frozen, unknown keys and infinite numbers refused, fields documented by the string below."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
