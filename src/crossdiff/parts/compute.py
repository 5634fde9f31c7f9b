"""Where numbers are computed."""

from typing import Annotated

from pydantic import Field

from crossdiff.fields import Count
from crossdiff.parts import Part


class Threads(Part):
    """CPU threads a job; part of the config because sums depend on it."""

    models: Count = 2
    """Whatever runs whole models at length, extraction and answers above all: one such job at a time."""
    tuning: Count = 1
    """Planting: with one thread each, the chat model and a null tune are made side by side on two cores. Where there is
    no null tune, set it to what `models` is."""
    dictionaries: Count = 1
    """Training, attribution and evidence of one dictionary: several such jobs run side by side."""


class Compute(Part):
    """Where numbers are computed, as far as they depend on it."""

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"
    """Device of models and dictionaries."""
    threads: Threads = Threads()
    """CPU threads."""
