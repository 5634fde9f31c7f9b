"""The benchmark whose answers are known."""

from typing import Literal

from pydantic import Field

from crossdiff.fields import Seeds
from crossdiff.parts import Part


class Synthetic(Part):
    """The benchmark on a synthetic pair whose answers are known."""

    preset: Literal["tiny", "small", "large", "paper"] = "small"
    """Its size: `tiny` for tests, `small` for two minutes on two cores, `large` for half an hour a seed, `paper` for a
    GPU (SynthSAEBench-16k)."""
    seeds: Seeds = Field(default=[16, 17, 18, 19, 20])
    """Seeds; each draws a pair of its own and trains every dictionary on it and on its null. Rates of error are means
    over them. The bounds of the calls were chosen on seeds 0 to 9."""
